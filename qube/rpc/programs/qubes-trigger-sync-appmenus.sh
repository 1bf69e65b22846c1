#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# qubes-trigger-sync-appmenus.sh: tells dom0 what applications this qube has (qubes.SyncAppMenus). One whose root comes from a template
# leaves that to the template.
[ "$(qubesdb-read -q /qubes-vm-updateable)" = True ] || exit 0
"${QUBES_ROOT-}/etc/qubes-rpc/qubes.GetAppmenus" | qrexec-client-vm -- dom0 qubes.SyncAppMenus
