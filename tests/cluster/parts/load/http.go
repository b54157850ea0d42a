package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// workRounds take about 20 ms of one core.
const workRounds = 10_000_000

// serve answers until it fails.
func serve(address string, told *settings, held *holder) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /set", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			if err := told.change(name, values[len(values)-1]); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		answer(w, state(told, held))
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { answer(w, state(told, held)) })
	// A fixed amount of work: how long it takes tells how much CPU this container gets.
	mux.HandleFunc("GET /work", func(w http.ResponseWriter, _ *http.Request) {
		start := time.Now()
		spin(workRounds)
		answer(w, map[string]any{"milliseconds": float64(time.Since(start).Microseconds()) / 1000})
	})
	probe := func(yes *bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			told.mu.Lock()
			defer told.mu.Unlock()
			if !*yes {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	mux.HandleFunc("GET /healthz", probe(&told.healthy))
	mux.HandleFunc("GET /readyz", probe(&told.ready))
	return http.ListenAndServe(address, mux)
}

func state(told *settings, held *holder) map[string]any {
	cores := told.cores(time.Now())
	told.mu.Lock()
	defer told.mu.Unlock()
	return map[string]any{
		"cpu": cores, "memory": told.memory, "held": held.bytes.Load(), "grow": told.grow,
		"ready": told.ready, "healthy": told.healthy,
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	// The only error is that nobody reads it any more.
	_ = json.NewEncoder(w).Encode(value)
}
