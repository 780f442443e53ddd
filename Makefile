# The two commands of the README. Both install what is missing on Debian and Ubuntu, and say what is on other systems.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/stillhouse/target
STILLHOUSE := $(CARGO_TARGET_DIR)/release/stillhouse

.PHONY: demo test proofs build lint setup setup-light setup-tests

# The main job on the embedded journal: sample runs in, scores and a dataset out, one rewind.
demo: setup-light
	cargo build --release --locked -p stillhouse --no-default-features
	$(STILLHOUSE) demo

# Everything, with Kafka and Lance.
build: setup
	cargo build --release --locked -p stillhouse

# Every test, those on a real Apache Kafka included; the last line counts.
test: setup setup-tests
	ops/deploy/test.sh

# The long proofs: 200 kills over 100,000 events, every byte of the tail, every schedule.
proofs: setup setup-tests
	STILLHOUSE_PROOFS=full ops/deploy/test.sh

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

setup-light:
	@ops/deploy/setup.sh light

setup:
	@ops/deploy/setup.sh build

setup-tests:
	@ops/deploy/setup.sh tests
