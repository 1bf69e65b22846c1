# A command on a terminal of its own, and a person there. Source it behind lib; $dir is a folder of the test.
# shellcheck shell=bash disable=SC2154,SC2034

# terminal_begin COMMAND...: on a terminal of its own, which shows in $dir/screen; what is typed goes to descriptor 9. It ends, and the
# exit code stands in $dir/code, when the command does
terminal_begin() {
	# what an earlier one showed, and its keys, which it may hold open for a moment yet, are not this one's
	rm -f "$dir/screen" "$dir/keys"
	mkfifo "$dir/keys"
	python3 - "$dir" "$@" 3>&- 9>&- <<-'EOF' &
		import os, pty, select, signal, sys
		folder, command = sys.argv[1], sys.argv[2:]
		pid, tty = pty.fork()
		if pid == 0:
		    signal.signal(signal.SIGINT, signal.SIG_DFL)
		    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
		    os.execvp(command[0], command)
		keys = os.open(folder + "/keys", os.O_RDONLY | os.O_NONBLOCK) # readable at its end alone once somebody has opened it to write
		with open(folder + "/screen", "wb", 0) as screen:
		    while True:
		        ready = select.select([tty, keys], [], [])[0]
		        try:
		            if tty in ready:
		                screen.write(os.read(tty, 4096))
		        except OSError:
		            break
		        if keys in ready:
		            typed = os.read(keys, 4096)
		            if not typed:
		                os.kill(pid, signal.SIGKILL)
		                break
		            os.write(tty, typed)
		code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
		with open(folder + "/code", "w") as f:
		    print(code, file=f)
	EOF
	terminal=$!
	exec 9>"$dir/keys"
}

# asked [N]: the Nth question of this terminal is there; sets $number
asked() {
	within 30 eval '[ "$(grep -c "without an answer: " "$dir/screen")" = '"${1-1}"' ]'
	number=$(grep -o 'behind a blank, [0-9]\{4\}' "$dir/screen" | tail -n 1 | grep -o '[0-9]*$')
}
