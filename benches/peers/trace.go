// The samples that both sides are given: tests/generated/mod.rs makes the same ones. Whole numbers only, so that no
// rounding can differ.
package main

import "time"

// shape says how usage of one generated container runs.
type shape string

const (
	flat     shape = "flat"
	wave     shape = "wave"
	growth   shape = "growth"
	spikes   shape = "spikes"
	restarts shape = "restarts"
	zeros    shape = "zeros"
)

// usage is one sample: millicores and bytes.
type usage struct {
	at    time.Time
	milli int64
	bytes int64
	// oom: the container was killed at a request of so many bytes; 0 if it was not.
	oom int64
}

// splitMix is SplitMix64.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// below is a number from 0 to n-1.
func (s *splitMix) below(n int64) int64 { return int64(s.next() % uint64(n)) }

// generate calls see with each of n samples, step seconds apart. Every seventh run of 500 samples is missing, and
// every 997th sample is an OOM kill at the memory it shows.
func generate(kind shape, seed uint64, start, step, n int64, see func(i int64, u usage)) {
	random := splitMix(seed)
	for i := int64(0); i < n; i++ {
		at := start + i*step
		milli, bytes := amounts(kind, i*step/60, &random)
		if i/500%7 == 6 {
			continue
		}
		u := usage{at: time.Unix(at, 0).UTC(), milli: milli, bytes: bytes}
		if i%997 == 996 {
			u.oom = bytes + 1
		}
		see(i, u)
	}
}

func amounts(kind shape, minute int64, random *splitMix) (milli, bytes int64) {
	a, b := random.below(1_000_000), random.below(1_000_000)
	day := minute % 1440
	triangle := min(day, 1440-day)
	switch kind {
	case wave:
		return 50 + 2*triangle + a%50, 500_000_000 + 100_000*triangle + 10*b
	case growth:
		return 100 + minute/10 + a%30, 200_000_000 + 50_000*minute + b
	case spikes:
		if a%200 == 0 {
			return 4000 + a%997, 4_000_000_000
		}
		return 20 + a%10, 100_000_000 + b
	case restarts:
		return 500 + a%500, 100_000_000 + minute%2880*1_000_000
	case zeros:
		if b%10 == 0 {
			return a % 300, 0
		}
		return 0, 200_000_000 + 100*b
	default:
		return 200 + a%20, 300_000_000 + b
	}
}
