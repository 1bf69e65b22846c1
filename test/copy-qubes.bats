#!/usr/bin/env bats
# Files from one real qube to another, as their users type it.
# bats file_tags=machines

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work vault
	printf '%s\n' 'qubes.Filecopy * work vault allow' 'qubes.VMExec * work vault allow' >"$BULKHEAD_HOME/config/policy.d/20-test.policy"
	timeout 300 qvm-start work
	timeout 300 qvm-start vault
}

teardown_file() {
	instance_end
}

@test "qvm-copy: a tree arrives as it was sent" {
	run -0 timeout 300 qvm-run -p work 'mkdir -p d/many && dd if=/dev/urandom of=d/large bs=1M count=4 2>/dev/null
		i=0; while [ $i -lt 100 ]; do echo $i >d/many/$i; i=$((i + 1)); done
		qvm-copy-to-vm --without-progress vault d && cd d && find . -type f -exec md5sum {} + | sort'
	sent=$output
	run -0 timeout 300 qvm-run -p vault 'cd QubesIncoming/work/d && find . -type f -exec md5sum {} + | sort'
	[ "$output" = "$sent" ]
	[ "${#lines[@]}" = 101 ]
}

@test "qvm-copy: what is there already is not replaced, and its name is told" {
	run -1 timeout 300 qvm-run -p work 'echo other >large && qvm-copy-to-vm --without-progress vault large &&
		echo again >large; qvm-copy-to-vm --without-progress vault large 2>&1'
	[[ $output == *"qfile-agent: large: is there already"* ]]
	run -0 timeout 300 qvm-run -p vault 'cat QubesIncoming/work/large'
	[ "$output" = other ]
}

@test "qvm-copy: a full disk there is told here, with the file's name" {
	# user's home is what fills
	timeout 300 qvm-run -p -u root vault 'mkdir -p /home/user/QubesIncoming/work && mount -t tmpfs -o size=4m,uid=1000,mode=0700 small /home/user/QubesIncoming/work'
	run -1 timeout 300 qvm-run -p work 'dd if=/dev/zero of=first bs=1M count=3 2>/dev/null; cp first second
		qvm-move-to-vm --without-progress vault first second 2>&1; code=$?; ls first second; exit $code'
	[[ $output == *"qfile-agent: second: No space left on device"*first*second ]]
	timeout 300 qvm-run -p -u root vault 'umount /home/user/QubesIncoming/work'
}

@test "qvm-copy: what the policy does not allow is refused" {
	run -126 timeout 300 qvm-run -p vault 'echo x >x; qvm-copy-to-vm --without-progress work x 2>&1'
	[[ $output == *"Request refused"* ]]
}

@test "qvm-run in a qube: a command in another" {
	run -5 timeout 300 qvm-run -p work 'echo input | qvm-run vault "cat; hostname; exit 5"'
	[ "$output" = $'input\nvault' ]
}
