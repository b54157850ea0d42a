package main

import (
	"encoding/json"
	"io"
	"runtime"
	"testing"
	"time"

	vpa_types "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
)

// figures are what VPA's own code needs on this machine.
type figures struct {
	AddCPUNs          float64 `json:"addCpuNs"`
	AddMemoryNs       float64 `json:"addMemoryNs"`
	RecommendNs       float64 `json:"recommendNs"`
	BytesPerContainer float64 `json:"bytesPerContainer"`
	CheckpointBytes   float64 `json:"checkpointBytes"`
	// One container's whole history: each sample added, and a recommendation after each.
	StepNs float64 `json:"stepNs"`
}

// Eight days of one sample a minute, the same in benches/peers.rs.
const benchSamples = 8 * 1440

func samples() (all []usage) {
	generate(wave, 42, 1_767_225_600, 60, benchSamples, func(_ int64, u usage) { all = append(all, u) })
	return all
}

func filled(all []usage) container {
	c := newContainer()
	for _, u := range all {
		c.see(u)
	}
	return c
}

func nsPerOp(run func(n int)) float64 {
	best := 0.0
	for range 5 {
		result := testing.Benchmark(func(b *testing.B) { run(b.N) })
		ns := float64(result.T.Nanoseconds()) / float64(result.N)
		if best == 0 || ns < best {
			best = ns
		}
	}
	return best
}

func checkpointJSON(c container) []byte {
	checkpoint, err := c.aggregate.SaveToCheckpoint()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(vpa_types.VerticalPodAutoscalerCheckpointStatus(*checkpoint))
	if err != nil {
		panic(err)
	}
	return text
}

// heapPerContainer is what one more container takes, averaged over many.
func heapPerContainer() float64 {
	const n = 10_000
	var before, after runtime.MemStats
	keep := make([]container, n)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keep {
		keep[i] = newContainer()
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(keep)
	return float64(after.HeapAlloc-before.HeapAlloc) / n
}

// bench measures and writes one JSON object.
func bench(to io.Writer) error {
	all := samples()
	full := filled(all)
	recommender := logic.CreatePodResourceRecommender(defaults)
	last := all[len(all)-1].at
	add := func(resource model.ResourceName, amount func(usage) int64) float64 {
		c := newContainer()
		return nsPerOp(func(n int) {
			for i := range n {
				u := all[i%len(all)]
				// Time goes on from turn to turn, as samples must be ever younger.
				at := last.Add(time.Duration(i) * time.Second)
				c.state.AddSample(&model.ContainerUsageSample{MeasureStart: at, Usage: model.ResourceAmount(amount(u)), Resource: resource})
			}
			c = newContainer()
		})
	}
	f := figures{
		AddCPUNs:    add(model.ResourceCPU, func(u usage) int64 { return u.milli }),
		AddMemoryNs: add(model.ResourceMemory, func(u usage) int64 { return u.bytes }),
		RecommendNs: nsPerOp(func(n int) {
			for range n {
				full.recommend(recommender)
			}
		}),
		BytesPerContainer: heapPerContainer(),
		CheckpointBytes:   float64(len(checkpointJSON(full))),
	}
	f.StepNs = nsPerOp(func(n int) {
		c := newContainer()
		for i := range n {
			if i%len(all) == 0 {
				c = newContainer()
			}
			c.see(all[i%len(all)])
			c.recommend(recommender)
		}
	})
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", " ")
	return encoder.Encode(f)
}
