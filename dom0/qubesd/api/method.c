/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/method.h"

#include "base/str.h"
#include "zygote/zygotes.h"

#include "proto/gate.h"

#include <string.h>

#define A DOOR_ADMIN
#define I DOOR_INTERNAL
#define M DOOR_MISC
#define G DOOR_GATE
#define Q DEST_ANY
#define O DEST_DOM0
#define N DEST_NOT_DOM0
#define x PART_NONE
#define o PART_OPTIONAL
#define R PART_REQUIRED

/* clang-format off */
static const struct method methods[] = {
	/* name                              door dest arg payload handler */
	{"admin.vm.List",                      A, Q, x, x, vm_list},
	{"admin.vmclass.List",                 A, O, x, x, vmclass_list},
	{"admin.deviceclass.List",             A, O, x, x, deviceclass_list},
	{"admin.Events",                       A, Q, x, x, events_subscribe},
	{"admin.vm.Stats",                     A, Q, x, x, stats_subscribe},
	{"admin.property.List",                A, O, x, x, properties_list},
	{"admin.property.Get",                 A, O, R, x, properties_get},
	{"admin.property.GetAll",              A, O, x, x, properties_get_all},
	{"admin.property.GetDefault",          A, O, R, x, properties_get_default},
	{"admin.property.Help",                A, O, R, x, properties_help},
	{"admin.property.Set",                 A, O, R, o, properties_set},
	{"admin.property.Reset",               A, O, R, x, properties_reset},
	{"admin.vm.property.List",             A, Q, x, x, properties_list},
	{"admin.vm.property.Get",              A, Q, R, x, properties_get},
	{"admin.vm.property.GetAll",           A, Q, x, x, properties_get_all},
	{"admin.vm.property.GetDefault",       A, Q, R, x, properties_get_default},
	{"admin.vm.property.Help",             A, Q, R, x, properties_help},
	{"admin.vm.property.Set",              A, Q, R, o, properties_set},
	{"admin.vm.property.Reset",            A, Q, R, x, properties_reset},
	{"admin.vm.feature.List",              A, Q, x, x, feature_list},
	{"admin.vm.feature.Get",               A, Q, R, x, feature_get},
	{"admin.vm.feature.CheckWithTemplate", A, Q, R, x, feature_check_template},
	{"admin.vm.feature.CheckWithNetvm",    A, Q, R, x, feature_check_netvm},
	{"admin.vm.feature.CheckWithAdminVM",  A, Q, R, x, feature_check_adminvm},
	{"admin.vm.feature.CheckWithTemplateAndAdminVM", A, Q, R, x, feature_check_template_adminvm},
	{"admin.vm.feature.Set",               A, Q, R, o, feature_set},
	{"admin.vm.feature.Remove",            A, Q, R, x, feature_remove},
	{"admin.vm.tag.List",                  A, Q, x, x, tag_list},
	{"admin.vm.tag.Get",                   A, Q, R, x, tag_get},
	{"admin.vm.tag.Set",                   A, Q, R, x, tag_set},
	{"admin.vm.tag.Remove",                A, Q, R, x, tag_remove},
	{"admin.vm.Create.AppVM",              A, O, o, R, vm_create_app},
	{"admin.vm.Create.TemplateVM",         A, O, o, R, vm_create_template},
	{"admin.vm.Create.StandaloneVM",       A, O, o, R, vm_create_standalone},
	{"admin.vm.Create.DispVM",             A, O, o, R, vm_create_disp},
	{"admin.vm.Create.RemoteVM",           A, O, o, R, vm_create_remote},
	{"admin.vm.CreateInPool.AppVM",        A, O, o, R, vm_create_in_pool_app},
	{"admin.vm.CreateInPool.TemplateVM",   A, O, o, R, vm_create_in_pool_template},
	{"admin.vm.CreateInPool.StandaloneVM", A, O, o, R, vm_create_in_pool_standalone},
	{"admin.vm.CreateInPool.DispVM",       A, O, o, R, vm_create_in_pool_disp},
	{"admin.vm.CreateDisposable",          A, Q, o, o, vm_create_disposable},
	{"admin.vm.Remove",                    A, Q, x, x, vm_remove},
	{"admin.vm.Start",                     A, Q, x, x, power_start},
	{"admin.vm.Shutdown",                  A, Q, o, x, power_shutdown},
	{"admin.vm.Kill",                      A, Q, x, x, power_kill},
	{"admin.vm.Pause",                     A, Q, x, x, power_pause},
	{"admin.vm.Unpause",                   A, Q, x, x, power_unpause},
	{"admin.vm.Suspend",                   A, Q, x, x, power_suspend},
	{"admin.vm.Resume",                    A, Q, x, x, power_resume},
	{"admin.vm.CurrentState",              A, Q, x, x, power_state},
	{"admin.vm.Console",                   A, Q, x, x, NULL},
	{"admin.vm.device.denied.List",        A, Q, x, x, denied_list},
	{"admin.vm.device.denied.Add",         A, Q, x, o, denied_add},
	{"admin.vm.device.denied.Remove",      A, Q, x, o, denied_remove},
	{"admin.vm.firewall.Get",              A, N, x, x, firewall_get},
	{"admin.vm.firewall.Set",              A, N, x, o, firewall_set},
	{"admin.vm.firewall.Reload",           A, N, x, x, firewall_reload},
	{"admin.vm.notes.Get",                 A, N, x, x, notes_get},
	{"admin.vm.notes.Set",                 A, N, x, o, notes_set},
	{"admin.vm.volume.List",               A, Q, x, x, volume_list},
	{"admin.vm.volume.Info",               A, Q, R, x, volume_info},
	{"admin.vm.volume.ListSnapshots",      A, Q, R, x, volume_snapshots},
	{"admin.vm.volume.Revert",             A, Q, R, R, volume_revert},
	{"admin.vm.volume.Resize",             A, Q, R, R, volume_resize},
	{"admin.vm.volume.CloneFrom",          A, Q, R, x, volume_clone_from},
	{"admin.vm.volume.CloneTo",            A, Q, R, R, volume_clone_to},
	{"admin.vm.volume.Clear",              A, Q, R, x, volume_clear},
	{"admin.vm.volume.Import",             A, Q, R, R, volume_import,           false, true},
	{"admin.vm.volume.ImportWithSize",     A, Q, R, R, volume_import_with_size, false, true},
	{"admin.vm.volume.Set.revisions_to_keep", A, Q, R, R, volume_set_revisions},
	{"admin.vm.volume.Set.rw",             A, Q, R, R, volume_set_rw},
	{"admin.vm.volume.Set.ephemeral",      A, Q, R, R, volume_set_ephemeral},
	{"admin.pool.List",                    A, O, x, x, pool_list},
	{"admin.pool.ListDrivers",             A, O, x, x, pool_drivers},
	{"admin.pool.Info",                    A, O, R, x, pool_info},
	{"admin.pool.UsageDetails",            A, O, R, x, pool_usage},
	{"admin.pool.Add",                     A, O, R, R, pool_add},
	{"admin.pool.Remove",                  A, O, R, x, pool_remove},
	{"admin.pool.Set.revisions_to_keep",   A, O, R, R, pool_set_revisions},
	{"admin.pool.Set.ephemeral_volatile",  A, O, R, R, pool_set_ephemeral},
	{"admin.pool.volume.List",             A, O, R, x, pool_volumes},
	{"admin.label.List",                   A, O, x, x, label_list},
	{"admin.label.Get",                    A, O, R, x, label_get},
	{"admin.label.Index",                  A, O, R, x, label_index},
	{"admin.label.Create",                 A, O, R, R, label_create},
	{"admin.label.Remove",                 A, O, R, x, label_remove},
	{"admin.backup.Info",                  A, O, R, x, NULL},
	{"admin.backup.Execute",               A, O, R, x, NULL},
	{"admin.backup.Cancel",                A, O, R, x, NULL},
	{"bulkhead.Import",                    A, O, o, x, bulkhead_import,     true},
	{"bulkhead.List",                      A, Q, x, o, bulkhead_list},
	{"bulkhead.Status",                    A, O, x, x, bulkhead_status},
	{"bulkhead.Events",                    A, Q, x, o, bulkhead_events},
	{"bulkhead.Quit",                      A, O, x, x, bulkhead_quit},
	{"bulkhead.Store",                     A, O, x, x, bulkhead_store},
	{"bulkhead.zygote.List",               A, O, x, x, zygote_api_list},
	{"bulkhead.vm.Disposable",             A, Q, x, x, disposable_hold,     true},
	{"bulkhead.vm.Start",                  A, Q, x, x, power_start,         true},
	{"bulkhead.vm.Shutdown",               A, Q, o, x, power_shutdown_wait, true},
	{"bulkhead.vm.Rename",                 A, N, R, x, rename_vm},
	{"bulkhead.vm.menu.Get",               A, N, x, x, menu_get},
	{"bulkhead.vm.menu.Set",               A, N, x, o, menu_set},
	{"bulkhead.vm.Remove",                 A, Q, x, x, vm_remove,           true},
	{"bulkhead.vm.volume.ImportFile",      A, Q, R, o, volume_import_file,  true},
	{"admin.vm.volume.Import",             G, Q, R, x, volume_import_stream},
	{"admin.vm.volume.ImportWithSize",     G, Q, R, R, volume_import_sized_stream},
	{"internal.GetSystemInfo",             I, O, x, x, internal_system_info},
	{"internal.vm.volume.ImportBegin",     I, Q, R, o, NULL},
	{"internal.vm.volume.ImportEnd",       I, Q, R, R, NULL},
	{"internal.SuspendPre",                I, O, x, x, internal_suspend_pre},
	{"internal.SuspendPost",               I, O, x, x, internal_suspend_post},
	{"qubes.FeaturesRequest",              M, O, x, o, report_features},
	{"qubes.NotifyTools",                  M, O, x, o, report_features},
	{"qubes.NotifyUpdates",                M, O, x, R, report_updates},
	{"qubes.SyncAppMenus",                 M, O, x, o, menu_report},
};
/* clang-format on */

/* devices are a family of names: admin.vm.device.CLASS.ACTION */
static bool is_device_method(const char *name)
{
	static const char *const classes[] = {"block.", "mic.", "pci.", "usb."};
	static const char *const actions[] = {"Assign",         "Assigned",  "Attach",
					      "Attached",       "Available", "Detach",
					      "Set.assignment", "Unassign"};
	static const char prefix[] = "admin.vm.device.";
	const char *action = NULL;

	for (size_t i = 0; str_starts(name, prefix) && i < ARRAY_LEN(classes); i++)
		if (str_starts(name + strlen(prefix), classes[i]))
			action = name + strlen(prefix) + strlen(classes[i]);
	for (size_t i = 0; action && i < ARRAY_LEN(actions); i++)
		if (strcmp(action, actions[i]) == 0)
			return true;
	return false;
}

const struct method *method_find(enum door door, const char *name)
{
	static const struct method device = {
		.name = "admin.vm.device", .arg = PART_OPTIONAL, .payload = PART_OPTIONAL};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].door == door && strcmp(methods[i].name, name) == 0)
			return &methods[i];
	/* the same as for a person in dom0, but for what comes as a stream, and for what no qube has */
	if (door == DOOR_GATE && gate_method_find(name))
		return method_find(DOOR_ADMIN, name);
	return door == DOOR_ADMIN && is_device_method(name) ? &device : NULL;
}
