# Source this in fish (`source env.fish`): what env.sh does in other shells.
# The instance the programs speak to is $BULKHEAD_HOME, by default var/ beside this file.
set -l top (path resolve (status dirname))
set -q BULKHEAD_HOME; or set -gx BULKHEAD_HOME $top/var
set -q BULKHEAD_QUBE_ROOT; or set -gx BULKHEAD_QUBE_ROOT $top/build/qube-root
contains $top/build/root/usr/bin $PATH; or set -gx --prepend PATH $top/build/root/usr/bin
contains $top/build/root/usr/share/man $MANPATH; or set -gx MANPATH $top/build/root/usr/share/man $MANPATH ''
# a file there is named after a program, not after each of its links: all of them at once
for file in $top/build/root/usr/share/fish/vendor_completions.d/*.fish
    source $file
end
