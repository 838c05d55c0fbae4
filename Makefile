# The commands of this project. Each one is a script in scripts/; this file only names them.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint bench fuzz fmt

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing on Debian or Ubuntu (says what; asks nothing)
	@scripts/setup test

build: ## Build the web parts and the release binaries into target/release
	@scripts/setup build
	@scripts/build

demo: ## Build, start a server with a live test channel, print the URL to open
	@scripts/setup demo
	@scripts/demo

test: ## Everything CI runs: lint, unit, end to end, browsers
	@scripts/test

lint: ## Formatting, clippy, dependency rules, layering, web checks
	@scripts/setup lint
	@scripts/lint

bench: ## Compare with ffmpeg and nginx-rtmp on this machine, as ratios
	@scripts/setup bench
	@scripts/build
	@scripts/bench

fuzz: ## An hour for each fuzz target, or FUZZ_SECONDS=60, FUZZ_AT_ONCE=4 (needs nightly Rust and cargo-fuzz)
	@scripts/fuzz $(or $(FUZZ_SECONDS),3600)

fmt: ## Format Rust and web sources
	@cargo fmt --all
	@cd web && npm run --silent format
