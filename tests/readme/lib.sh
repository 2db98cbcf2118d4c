# What the checks of the documents' lines in other languages have alike; sourced by them, from the repository's root.
# A scratch folder and a sandbox, both gone at the end.

scratch=$(mktemp -d)
sandbox=
started=()
cleanup() {
    for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
    [ -z "$sandbox" ] || { kill -INT "$sandbox" && wait "$sandbox"; } || true
    rm -rf "$scratch"
}
trap cleanup EXIT

lines_of() { # page, how the heading begins, language: the lines between the fences of the language below that heading
    awk -v heading="$2" -v fence="\`\`\`$3" '
        /^#+ / { here = index($0, heading) == 1 }
        here && $0 == "```" { copy = 0 }
        copy { print }
        here && $0 == fence { copy = 1 }' "$1"
}

start_sandbox() { # arguments of `sandbox`; sets gateway, control and token
    cargo build --locked --quiet
    cargo run --locked --quiet -- sandbox "$@" >"$scratch/said" 2>"$scratch/log" &
    sandbox=$!
    for _ in $(seq 300); do
        grep -q '^Ctrl-C ends it' "$scratch/said" && break
        kill -0 "$sandbox" 2>/dev/null || break
        sleep 0.1
    done
    grep -q '^Ctrl-C ends it' "$scratch/said" || { cat "$scratch/log" >&2; exit 1; }
    gateway=$(grep -o "http://[^' ]*webfn=true" "$scratch/said" | head -n 1)
    control=$(awk '$1 == "control" { print $2 }' "$scratch/said")
    token=$(sed -n "s/^TOKEN='\(.*\)'$/\1/p" "$scratch/said")
}

post() { # body
    curl -sS "$gateway" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" -d "$1"
}
pay() { # number
    curl -sS "$control/pay" -H 'Content-Type: application/json' -d "{\"out_trade_no\":\"$1\"}" >/dev/null
}
member() { # path: what stands there in the JSON on standard input
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print(value)' "$1"
}
expect() { # what is expected, where, in which answer
    local found
    found=$(member "$2" <<<"$3" 2>/dev/null) || found="nothing"
    [ "$found" = "$1" ] || { echo "$2 is $found, not $1, in $3" >&2; exit 1; }
}
