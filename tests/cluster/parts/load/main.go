// plumb-load is the workload that plumb's cluster tests run: it uses the CPU and memory that it is told to.
//
//	plumb-load --cpu 0.2 --memory 100Mi --grow 8Mi/s --startup-cpu 1:20s --bursts 1:10s:60s --http :8080
//	plumb-load pause
//
// Over HTTP it can be told otherwise: POST /set?cpu=0.5&memory=200Mi&grow=0&ready=false&healthy=true. GET /state says
// what it holds, GET /work does a fixed amount of work and says how long that took, and /healthz and /readyz are for
// probes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settings is what the program was told; every field can change while it runs.
type settings struct {
	mu          sync.Mutex
	cpu         float64 // cores
	startupCPU  float64 // cores, instead of cpu until startupEnds
	startupEnds time.Time
	burstCPU    float64       // cores, instead of cpu in bursts
	burstLasts  time.Duration // how long one is
	burstEvery  time.Duration // one begins when the clock is half-way between multiples of this; 0 for never
	memory      int64         // bytes to hold, besides the program's own few MiB
	grow        int64         // bytes more each second
	ready       bool
	healthy     bool
}

// cores is how much CPU to use now.
func (s *settings) cores(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.startupEnds) {
		return s.startupCPU
	}
	if s.burstEvery > 0 && (time.Duration(now.UnixNano())+s.burstEvery/2)%s.burstEvery < s.burstLasts {
		return s.burstCPU
	}
	return s.cpu
}

// change sets one field from text, as the command line and /set give it.
func (s *settings) change(name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch name {
	case "cpu":
		var cores float64
		if cores, err = parseCores(value); err == nil {
			// Told anew: what was meant for the start is over.
			s.cpu, s.startupEnds = cores, time.Time{}
		}
	case "memory":
		s.memory, err = orKeep(s.memory, value, parseBytes)
	case "grow":
		s.grow, err = orKeep(s.grow, strings.TrimSuffix(value, "/s"), parseBytes)
	case "startup-cpu":
		cores, duration, found := strings.Cut(value, ":")
		if !found {
			return fmt.Errorf("startup-cpu %q is not CORES:DURATION", value)
		}
		var length time.Duration
		if s.startupCPU, err = parseCores(cores); err == nil {
			if length, err = time.ParseDuration(duration); err == nil {
				s.startupEnds = time.Now().Add(length)
			}
		}
	case "bursts":
		parts := strings.Split(value, ":")
		if len(parts) != 3 {
			return fmt.Errorf("bursts %q is not CORES:DURATION:PERIOD", value)
		}
		if s.burstCPU, err = parseCores(parts[0]); err == nil {
			if s.burstLasts, err = time.ParseDuration(parts[1]); err == nil {
				s.burstEvery, err = time.ParseDuration(parts[2])
			}
		}
	case "ready":
		s.ready, err = orKeep(s.ready, value, strconv.ParseBool)
	case "healthy":
		s.healthy, err = orKeep(s.healthy, value, strconv.ParseBool)
	default:
		return fmt.Errorf("unknown setting %q", name)
	}
	return err
}

func orKeep[T any](old T, text string, parse func(string) (T, error)) (T, error) {
	if value, err := parse(text); err == nil {
		return value, nil
	} else {
		return old, err
	}
}

func parseCores(text string) (float64, error) {
	scale := 1.0
	if milli, found := strings.CutSuffix(text, "m"); found {
		text, scale = milli, 0.001
	}
	number, err := strconv.ParseFloat(text, 64)
	cores := number * scale
	if err != nil || cores < 0 || cores > 64 {
		return 0, fmt.Errorf("%q is no number of cores", text)
	}
	return cores, nil
}

func parseBytes(text string) (int64, error) {
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"", 0}} {
		if number, found := strings.CutSuffix(text, unit.suffix); found {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || n < 0 || n > 1<<30 && unit.shift > 0 {
				return 0, fmt.Errorf("%q is no amount of memory", text)
			}
			return n << unit.shift, nil
		}
	}
	panic("the empty suffix always matches")
}

func main() {
	stop := make(chan os.Signal, 1)
	// The first process of a container has no default handlers: without this a stop takes the whole grace period.
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if len(os.Args) == 2 && os.Args[1] == "pause" {
		<-stop
		return
	}
	told := &settings{ready: true, healthy: true}
	for name, usage := range map[string]string{
		"cpu":         "cores to use, such as 0.2 or 200m",
		"memory":      "memory to hold, such as 100Mi",
		"grow":        "memory to add each second, such as 8Mi/s",
		"startup-cpu": "cores to use at first and how long, such as 1:20s",
		"bursts":      "cores to use in bursts, how long each is and how often, such as 1:10s:60s",
		"ready":       "whether /readyz says yes",
		"healthy":     "whether /healthz says yes",
	} {
		flag.Func(name, usage, func(value string) error { return told.change(name, value) })
	}
	address := flag.String("http", "", "address to serve on, such as :8080")
	flag.Parse()
	if flag.NArg() > 0 && flag.Arg(0) != "load" {
		fail(errors.New("unknown argument " + flag.Arg(0)))
	}
	held := &holder{}
	go held.run(told)
	go burn(told)
	if *address != "" {
		go func() { fail(serve(*address, told, held)) }()
	}
	fmt.Println("plumb-load runs:", strings.Join(os.Args[1:], " "))
	<-stop
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "plumb-load:", err)
	os.Exit(2)
}
