# Daily commands. Each one calls cargo or a script, so `just` is not required.

# List the commands.
default:
    @just --list

# Type-check all crates with all tests.
check:
    cargo check --workspace --all-targets --all-features

# Run the quick tests of the command line, which need no other program.
test *arguments:
    cargo test {{arguments}}

# Run all checks, as CI does. Installs the programs that the tests need.
test-all *arguments:
    scripts/test {{arguments}}

# Run clippy; every warning is an error.
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Format the code.
fmt:
    cargo fmt --all

# Build the API documentation; every warning is an error.
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps

# Fuzz one target.
fuzz name seconds='60':
    fuzz/run {{name}} {{seconds}}

# Compare the speed with other programs (bench/README.md).
bench *arguments:
    bench/run {{arguments}}

# Rewrite tests/snapshots after an intended change of help or output.
snapshots:
    AIRLOCK_UPDATE_SNAPSHOTS=1 cargo test --test it snapshots

# Build and run airlock.
run *arguments:
    cargo run -- {{arguments}}
