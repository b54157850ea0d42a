package main

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	chunk  = 1 << 20
	window = 100 * time.Millisecond
)

// holder holds memory that is resident: mapped for it alone and written to, page by page.
type holder struct {
	chunks [][]byte
	bytes  atomic.Int64
}

// run keeps what is held at what is told.
func (h *holder) run(told *settings) {
	last := time.Now()
	var grown float64
	for {
		now := time.Now()
		told.mu.Lock()
		grown += float64(told.grow) * now.Sub(last).Seconds()
		whole := int64(grown)
		told.memory += whole
		target := told.memory
		told.mu.Unlock()
		grown -= float64(whole)
		last = now
		h.to(target)
		time.Sleep(window / 2)
	}
}

func (h *holder) to(target int64) {
	wanted := int((target + chunk - 1) / chunk)
	for len(h.chunks) < wanted {
		memory, err := syscall.Mmap(-1, 0, chunk, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			fail(err)
		}
		for at := 0; at < chunk; at += 4096 {
			memory[at] = 1
		}
		h.chunks = append(h.chunks, memory)
		h.bytes.Add(chunk)
	}
	for len(h.chunks) > wanted {
		last := len(h.chunks) - 1
		if err := syscall.Munmap(h.chunks[last]); err != nil {
			fail(err)
		}
		h.chunks = h.chunks[:last]
		h.bytes.Add(-chunk)
	}
}

// burn uses CPU as told: in each window, each of as many threads as it takes burns its share and then sleeps. The
// share is measured in CPU time, so that a busy machine does not make it smaller.
func burn(told *settings) {
	threads := runtime.NumCPU()
	// Two more than burn: so the HTTP server is scheduled while all of them do.
	runtime.GOMAXPROCS(threads + 2)
	for i := range threads {
		go func() {
			runtime.LockOSThread()
			for next := time.Now(); ; {
				next = next.Add(window)
				// The first thread takes the first core's worth, and so on.
				share := min(max(told.cores(time.Now())-float64(i), 0), 1)
				until := threadTime() + time.Duration(share*float64(window))
				for threadTime() < until && time.Now().Before(next) {
					spin(2000)
				}
				if late := time.Since(next); late > 0 {
					// Throttled: what was missed is not made up for.
					next = time.Now()
				} else {
					time.Sleep(-late)
				}
			}
		}()
	}
}

// threadTime is the CPU time that this thread has used.
func threadTime() time.Duration {
	const threadCPUTime = 3 // CLOCK_THREAD_CPUTIME_ID
	var now syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&now)), 0); errno != 0 {
		fail(errno)
	}
	return time.Duration(now.Nano())
}

// sink keeps the compiler from dropping the work.
var sink atomic.Uint64

// spin does work that takes CPU and nothing else.
func spin(rounds int) {
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink.Store(x)
}
