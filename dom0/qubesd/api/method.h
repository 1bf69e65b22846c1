/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The methods: a table of who may be asked what, with which parts, and who answers. */
#include "base/attr.h"

#include "api/client.h"

struct call;

enum method_dest { DEST_ANY, DEST_DOM0, DEST_NOT_DOM0 };
enum method_part { PART_NONE, PART_OPTIONAL, PART_REQUIRED };

/** struct method - @handler NULL: known, and not there yet */
struct method {
	const char *name;
	enum door door;
	enum method_dest dest;
	enum method_part arg, payload;
	int (*handler)(struct call *c);
	bool stream; /* its answer may be preceded by events */
	bool bytes;  /* its payload may hold NULs */
};

/** method_find() - NULL if there is no such method behind that door */
const struct method *method_find(enum door door, const char *name);

int vm_list(struct call *c);
int vm_create_app(struct call *c);
int vm_create_template(struct call *c);
int vm_create_standalone(struct call *c);
int vm_create_in_pool_app(struct call *c);
int vm_create_in_pool_template(struct call *c);
int vm_create_in_pool_standalone(struct call *c);
int vm_create_disp(struct call *c);
int vm_create_remote(struct call *c);
int vm_create_in_pool_disp(struct call *c);
int vm_create_disposable(struct call *c);
int vm_remove(struct call *c);
int vmclass_list(struct call *c);
int deviceclass_list(struct call *c);
int denied_list(struct call *c);
int denied_add(struct call *c);
int denied_remove(struct call *c);

int properties_list(struct call *c);
int properties_get(struct call *c);
int properties_get_all(struct call *c);
int properties_get_default(struct call *c);
int properties_help(struct call *c);
int properties_set(struct call *c);
int properties_reset(struct call *c);

int feature_list(struct call *c);
int feature_get(struct call *c);
int feature_check_template(struct call *c);
int feature_check_netvm(struct call *c);
int feature_check_adminvm(struct call *c);
int feature_check_template_adminvm(struct call *c);
int feature_set(struct call *c);
int feature_remove(struct call *c);
int tag_list(struct call *c);
int tag_get(struct call *c);
int tag_set(struct call *c);
int tag_remove(struct call *c);

int label_list(struct call *c);
int label_get(struct call *c);
int label_index(struct call *c);
int label_create(struct call *c);
int label_remove(struct call *c);

int menu_get(struct call *c);
int menu_set(struct call *c);
int menu_report(struct call *c);

int notes_get(struct call *c);
int notes_set(struct call *c);

int firewall_get(struct call *c);
int firewall_set(struct call *c);
int firewall_reload(struct call *c);

int volume_list(struct call *c);
int volume_info(struct call *c);
int volume_snapshots(struct call *c);
int volume_revert(struct call *c);
int volume_resize(struct call *c);
int volume_set_revisions(struct call *c);
int volume_clone_from(struct call *c);
int volume_clone_to(struct call *c);
int volume_import_file(struct call *c);
int volume_import(struct call *c);
int volume_import_with_size(struct call *c);
int volume_import_stream(struct call *c);
int volume_import_sized_stream(struct call *c);
int volume_clear(struct call *c);
int volume_set_rw(struct call *c);
int volume_set_ephemeral(struct call *c);

int pool_list(struct call *c);
int pool_drivers(struct call *c);
int pool_info(struct call *c);
int pool_usage(struct call *c);
int pool_set_revisions(struct call *c);
int pool_volumes(struct call *c);
int pool_add(struct call *c);
int pool_remove(struct call *c);
int pool_set_ephemeral(struct call *c);

int power_start(struct call *c);
int power_shutdown(struct call *c);
int power_shutdown_wait(struct call *c);
int power_kill(struct call *c);
int power_pause(struct call *c);
int power_unpause(struct call *c);
int power_suspend(struct call *c);
int power_resume(struct call *c);
int power_state(struct call *c);

int events_subscribe(struct call *c);
int stats_subscribe(struct call *c);

int internal_system_info(struct call *c);
int internal_suspend_pre(struct call *c);
int internal_suspend_post(struct call *c);

int report_features(struct call *c);
int report_updates(struct call *c);

int bulkhead_list(struct call *c);
int bulkhead_status(struct call *c);
int bulkhead_events(struct call *c);
int bulkhead_quit(struct call *c);
int bulkhead_import(struct call *c);
int rename_vm(struct call *c);
int bulkhead_store(struct call *c);

int disposable_hold(struct call *c);
