#!/bin/sh
# Feeds nonsense to every parser of outside bytes: each target for so many seconds, one after the
# other. Ends with an error at the first input that breaks one; the input lies under artifacts/.
#
#   cargo install cargo-fuzz
#   sh tests/fuzz/run.sh              every target for 60 seconds
#   sh tests/fuzz/run.sh 600 rows     one target for ten minutes
#
# It needs a C++ compiler, and no nightly toolchain: without a sanitizer, which a program without
# unsafe code has little use for, a stable one does. What is found on the way is kept in corpus/,
# which is not committed; seeds/ is.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=${*:-$(cargo fuzz list --fuzz-dir tests/fuzz)}
build=${CARGO_TARGET_DIR:-target}/fuzz
for target in $targets; do
    echo "== $target"
    mkdir -p "tests/fuzz/corpus/$target"
    cargo fuzz run --fuzz-dir tests/fuzz --target-dir "$build" --sanitizer none "$target" \
        "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
