// Runs the Vertical Pod Autoscaler's own packages on generated samples, to compare plumb with them.
//
//	go run . golden   what VPA answers, one case a line: tests/golden/vpa.jsonl is this
//	go run . bench    what it takes, as JSON: benches/peers/compare.sh shows it beside plumb's
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	verbs := map[string]func(io.Writer) error{"golden": golden, "bench": bench}
	if len(os.Args) != 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go run . golden|bench")
		os.Exit(2)
	}
	if err := verbs[os.Args[1]](os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}
