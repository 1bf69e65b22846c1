/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The properties, a row each; included several times, with a different PROPERTY (of qubes) or GLOBAL
 * (of the system) each time. Adding one is adding a row.
 *
 *	name, type, classes (globals have none), default, how a value is checked, flags, help
 *
 * TOLD(ENTRY, DEFAULT): an entry of the qube's QubesDB says it, from its start on and as it changes.
 * Defaults: NONE (unset stays unset), TEXT("x"), OF_GLOBAL(g), COMPUTED(f); TEMPLATE_OR(...) asks the
 * template first. Flags: FIXED = never set by a client; HALTED = not while the qube runs; START = a running qube keeps what it
 * started with until its next start (the help says so); ALWAYS = counts
 * as set though it is computed.
 */
/* clang-format off */
#ifdef PROPERTY
#define ANY   (T | A | S | D)
#define ALL   (ADM | T | A | S | D | R)
PROPERTY(appvm_default_bootmode, STR, T,       TEXT("default"),                  any,           0, "Boot mode of qubes based on this template")
PROPERTY(audiovm,         VM,    ANY,          OF_GLOBAL(default_audiovm),       any,           0, "Qube that plays and records this qube's sound")
PROPERTY(auto_cleanup,    BOOL,  D,            TEXT("False"),                    any,           0, "Remove the qube once it is shut down")
PROPERTY(autostart,       BOOL,  ANY,          TEXT("False"),                    any,           0, "Start the qube when the system starts")
PROPERTY(backup_timestamp, INT,  ANY,          NONE,                             not_negative,  0, "Time of the last backup, in seconds since 1970")
PROPERTY(bootmode,        STR,   ANY,          TEXT("default"),                  any,      START, "Boot mode, one of those the template offers")
PROPERTY(debug,           BOOL,  ANY,          TEXT("False"),                    any,      START, "Show the console and log more when the qube starts")
PROPERTY(default_dispvm,  VM,    ADM | ANY,    COMPUTED(dispvm),                 dispvm,        0, "Template for disposables that this qube starts")
PROPERTY(default_user,    STR,   ANY,          TEMPLATE_OR(TEXT("user")),        user,     START, "User that programs run as")
PROPERTY(devices_denied,  STR,   ADM | ANY,    TEXT(""),                         interfaces,    0, "Device interfaces that may never be attached")
PROPERTY(dispid,          INT,   D,            NONE,                             any,       FIXED, "Number of the disposable")
PROPERTY(dns,             STR,   ANY,          COMPUTED(dns),                    any,       FIXED, "Name servers the qube is told")
PROPERTY(fork,            BOOL,  A | D,        OF_GLOBAL(default_fork),          any,       START, "Start as a fork of a machine that has booted, where there is one")
PROPERTY(gateway,         STR,   ANY,          COMPUTED(gateway),                any,       FIXED, "Address that the qube is for those connected to it")
PROPERTY(gateway6,        STR,   ANY,          TEXT(""),                         any,       FIXED, "The same for IPv6")
PROPERTY(guivm,           VM,    ANY,          OF_GLOBAL(default_guivm),         any,           0, "Qube that shows this qube's windows")
PROPERTY(icon,            STR,   ALL,          COMPUTED(icon),                   any,       FIXED, "Name of the qube's icon")
PROPERTY(include_in_backups, BOOL, ALL,        COMPUTED(in_backups),             any,           0, "Include the qube in backups")
PROPERTY(installed_by_rpm, BOOL, ANY,          TEXT("False"),                    any,           0, "The qube belongs to a package of the system")
PROPERTY(ip,              STR,   ANY,          COMPUTED(ip),                     ip,       START, "Address of the qube")
PROPERTY(ip6,             STR,   ANY,          TEXT(""),                         ip6,       START, "IPv6 address of the qube")
PROPERTY(is_preload,      BOOL,  D,            COMPUTED(is_preload),             any,       FIXED, "A disposable that waits to be used")
PROPERTY(kernel,          STR,   ANY,          TEMPLATE_OR(OF_GLOBAL(default_kernel)), kernel, START, "Kernel set that the qube boots")
PROPERTY(kernelopts,      STR,   ANY,          TEMPLATE_OR(COMPUTED(kernelopts)), any,     START, "Words added to the kernel's command line")
PROPERTY(keyboard_layout, STR,   ADM | ANY,    TOLD("/keyboard-layout", COMPUTED(keyboard)), keyboard, 0, "Keyboard as layout+variant+options")
PROPERTY(klass,           STR,   ALL,          COMPUTED(klass),                  any,       FIXED, "Class of the qube")
PROPERTY(label,           LABEL, ALL,          NONE,                             label,         0, "Label: the colour of the qube's windows")
PROPERTY(mac,             STR,   ANY,          TEXT("00:16:3e:5e:6c:00"),        mac,      START, "Hardware address of the network card")
PROPERTY(management_dispvm, VM,  ANY,          TEMPLATE_OR(OF_GLOBAL(management_dispvm)), dispvm, 0, "Template of the disposable that manages this qube")
PROPERTY(maxmem,          INT,   ADM | ANY,    TEMPLATE_OR(COMPUTED(maxmem)),    maxmem,       0, "Memory in MiB that the qube may grow to while it runs, as it needs it and there is some; 0 = it keeps what it started with. A running qube is held to less than before at once; more counts from its next start on")
PROPERTY(memory,          INT,   ANY,          TEMPLATE_OR(TEXT("400")),         memory,   START, "Memory in MiB that the qube starts with, and always has")
PROPERTY(name,            STR,   ALL,          COMPUTED(name),                   any, FIXED | ALWAYS, "Name of the qube")
PROPERTY(netvm,           VM,    ANY,          COMPUTED(netvm),                  netvm,     START, "Qube that gives this one its network")
PROPERTY(provides_network, BOOL, ANY,          TEXT("False"),                    provider,      0, "Other qubes may use this one as their netvm")
PROPERTY(qid,             INT,   ALL,          COMPUTED(qid),                    any, FIXED | ALWAYS, "Number of the qube, which does not change")
PROPERTY(qrexec_timeout,  INT,   ANY,          TEMPLATE_OR(OF_GLOBAL(default_qrexec_timeout)), positive, 0, "Seconds the qube may take to answer after its start")
PROPERTY(relayvm,         VM,    R,            NONE,                             any,           0, "Qube that reaches the remote one")
PROPERTY(remote_name,     STR,   R,            TEXT(""),                         any,           0, "Name of the qube where it runs")
PROPERTY(shutdown_timeout, INT,  ANY,          TEMPLATE_OR(OF_GLOBAL(default_shutdown_timeout)), positive, 0, "Seconds the qube may take to shut down")
PROPERTY(start_time,      STR,   ANY,          COMPUTED(start_time),             any,       FIXED, "When the qube was started, in seconds since 1970")
PROPERTY(stubdom_mem,     INT,   ANY,          NONE,                             positive, START, "Memory in MiB for the stub domain (Xen)")
PROPERTY(stubdom_uuid,    STR,   ANY,          TEXT(""),                         any,       FIXED, "The stub domain (Xen)")
PROPERTY(stubdom_xid,     INT,   ANY,          TEXT("-1"),                       any,       FIXED, "The stub domain (Xen)")
PROPERTY(template,        VM,    A | D,        OF_GLOBAL(default_template),      template, HALTED, "Template that the qube's root comes from")
PROPERTY(template_for_dispvms, BOOL, A | S,    TEXT("False"),                    dispvms,       0, "Disposables may be made from this qube")
PROPERTY(transport_rpc,   STR,   R,            TEXT(""),                         any,           0, "Service that carries calls to the remote qube")
PROPERTY(updateable,      BOOL,  ADM | ANY,    COMPUTED(updateable),             any,       FIXED, "Programs installed in the qube stay")
PROPERTY(uuid,            STR,   ALL,          COMPUTED(uuid),                   any, FIXED | ALWAYS, "Identifier of the qube, never used again")
PROPERTY(vcpus,           INT,   ANY,          TEMPLATE_OR(TEXT("2")),           vcpus,    START, "Number of processors; one where they are emulated by a QEMU before 8.1")
PROPERTY(virt_mode,       STR,   ANY,          TEMPLATE_OR(TEXT("pvh")),         virt_mode, START, "Kind of virtual machine: pvh, hvm or pv")
PROPERTY(visible_gateway, STR,   ANY,          COMPUTED(visible_gateway),        any,       FIXED, "Gateway the qube is told")
PROPERTY(visible_gateway6, STR,  ANY,          TEXT(""),                         any,       FIXED, "The same for IPv6")
PROPERTY(visible_ip,      STR,   ANY,          COMPUTED(visible_ip),             any,       FIXED, "Address the qube is told")
PROPERTY(visible_ip6,     STR,   ANY,          TEXT(""),                         any,       FIXED, "The same for IPv6")
PROPERTY(visible_netmask, STR,   ANY,          COMPUTED(visible_netmask),        any,       FIXED, "Network mask the qube is told")
PROPERTY(xid,             INT,   ANY,          COMPUTED(xid),                    any,       FIXED, "Domain id while the qube runs, else -1")
#undef ANY
#undef ALL
#endif
#ifdef GLOBAL
GLOBAL(check_updates_vm,  BOOL,  TEXT("True"),                 any,           0, "Ask new qubes to look for updates")
GLOBAL(clockvm,           VM,    TEXT(""),                     any,           0, "Qube that tells the others the time")
GLOBAL(default_audiovm,   VM,    TEXT("0"),                    any,           0, "audiovm of qubes that do not say otherwise")
GLOBAL(default_dispvm,    VM,    TEXT(""),                     dispvm,        0, "default_dispvm of qubes that do not say otherwise")
GLOBAL(default_fork,      BOOL,  TEXT("False"),                any,           0, "fork of qubes that do not say otherwise")
GLOBAL(default_guivm,     VM,    TEXT("0"),                    any,           0, "guivm of qubes that do not say otherwise")
GLOBAL(default_kernel,    STR,   COMPUTED(newest_kernel),      kernel,        0, "Kernel set of qubes that do not say otherwise; by default the newest one")
GLOBAL(default_netvm,     VM,    TEXT(""),                     default_netvm,    0, "netvm of qubes that do not say otherwise")
GLOBAL(default_pool,      STR,   TEXT("default"),              pool,          0, "Where new volumes are made")
GLOBAL(default_pool_kernel, STR, TEXT("linux-kernel"),         pool,          0, "Where kernels are")
GLOBAL(default_pool_private, STR, COMPUTED(pool),              pool,          0, "Where new private volumes are made")
GLOBAL(default_pool_root, STR,   COMPUTED(pool),               pool,          0, "Where new root volumes are made")
GLOBAL(default_pool_volatile, STR, COMPUTED(pool),             pool,          0, "Where volatile volumes are made")
GLOBAL(default_qrexec_timeout, INT, COMPUTED(qrexec_timeout),  positive,      0, "Seconds a qube may take to answer after its start: 60, or 180 where guests are emulated")
GLOBAL(default_shutdown_timeout, INT, TEXT("60"),              positive,      0, "Seconds a qube may take to shut down")
GLOBAL(default_template,  VM,    TEXT(""),                     template_or_none, 0, "Template of new qubes")
GLOBAL(management_dispvm, VM,    TEXT(""),                     dispvm,        0, "management_dispvm of qubes that do not say otherwise")
GLOBAL(maxmem,            INT,   COMPUTED(system_memory),      any,       FIXED, "Memory of this machine in MiB")
GLOBAL(no_cpus,           INT,   COMPUTED(system_cpus),        any,       FIXED, "Processors of this machine")
GLOBAL(qubes_maxmem,      INT,   TEXT("0"),                    not_negative,  0, "Memory in MiB that all running qubes may have together; 0 = what the machine has, but for a reserve")
GLOBAL(stats_interval,    INT,   TEXT("3"),                    positive,      0, "Seconds between two reports of what qubes use")
GLOBAL(updatevm,          VM,    TEXT(""),                     any,           0, "Qube that fetches updates for dom0")
#endif
/* clang-format on */
