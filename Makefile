# A thin front for Meson and the scripts in tools/; `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help run stop clean-run build test soak bench fuzz lint format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: ## everything from a fresh Debian 12 to two running qubes, and a short tour
	@tools/run

stop: ## shut the qubes down and stop the daemons
	@tools/stop

clean-run: ## stop, and delete this instance: its qubes, templates and state
	@tools/stop --clean

build: ## build all programs (build/)
	@tools/build

test: ## every test, with seeded samples of what counts in thousands
	@tools/test

soak: ## the full counts of what `make test` samples; goes on where it was interrupted
	@tools/test --soak

bench: ## every program under bench/: its figures and whether its bound holds
	@tools/bench

fuzz: ## every fuzz target for FUZZ_SECONDS (default 60) each
	@tools/fuzz

lint: ## clang-format, clang-tidy, gcc -fanalyzer, shellcheck, layers
	@tools/lint --all

format: ## clang-format over the tree
	@tools/format

clean: ## remove what was built, not the instance
	@rm -rf build build-clang build-fuzz build-analyzer
