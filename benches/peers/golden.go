package main

import (
	"encoding/json"
	"io"
	"time"

	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/util"
)

// goldenCase is a generated container and what VPA says of it now and then.
type goldenCase struct {
	Shape   shape    `json:"shape"`
	Seed    uint64   `json:"seed"`
	Start   int64    `json:"start"`
	Step    int64    `json:"step"`
	Samples int64    `json:"samples"`
	Answers []answer `json:"answers"`
}

// answer is what VPA says after a sample. Percentiles are p50, p90, p95; amounts are millicores and bytes.
type answer struct {
	Sample            int64      `json:"sample"`
	CPUPercentiles    [3]float64 `json:"cpuPercentiles"`
	MemoryPercentiles [3]float64 `json:"memoryPercentiles"`
	CPUTotal          float64    `json:"cpuTotal"`
	MemoryTotal       float64    `json:"memoryTotal"`
	// Lower bound, target, upper bound.
	CPU    [3]int64 `json:"cpu"`
	Memory [3]int64 `json:"memory"`
}

// container is one container in VPA's own model, with nothing of a cluster around it.
type container struct {
	aggregate *model.AggregateContainerState
	state     *model.ContainerState
}

func newContainer() container {
	aggregate := model.NewAggregateContainerState()
	return container{aggregate, model.NewContainerState(model.Resources{}, aggregate)}
}

func (c container) see(u usage) {
	c.state.AddSample(&model.ContainerUsageSample{MeasureStart: u.at, Usage: model.ResourceAmount(u.milli), Resource: model.ResourceCPU})
	c.state.AddSample(&model.ContainerUsageSample{MeasureStart: u.at, Usage: model.ResourceAmount(u.bytes), Resource: model.ResourceMemory})
	if u.oom > 0 {
		if err := c.state.RecordOOM(u.at, model.ResourceAmount(u.oom)); err != nil {
			panic(err)
		}
	}
}

// defaults are those of VPA's flags.
var defaults = logic.RecommendationConfig{
	SafetyMarginFraction:       0.15,
	PodMinCPUMillicores:        25,
	PodMinMemoryMb:             250,
	TargetCPUPercentile:        0.9,
	LowerBoundCPUPercentile:    0.5,
	UpperBoundCPUPercentile:    0.95,
	ConfidenceIntervalCPU:      24 * time.Hour,
	TargetMemoryPercentile:     0.9,
	LowerBoundMemoryPercentile: 0.5,
	UpperBoundMemoryPercentile: 0.95,
	ConfidenceIntervalMemory:   24 * time.Hour,
}

func (c container) recommend(by logic.PodResourceRecommender) logic.RecommendedContainerResources {
	return by.GetRecommendedPodResources(model.ContainerNameToAggregateStateMap{"c": c.aggregate})["c"]
}

func answerOf(c container, sample int64) answer {
	a := answer{Sample: sample}
	for i, share := range []float64{0.5, 0.9, 0.95} {
		a.CPUPercentiles[i] = c.aggregate.AggregateCPUUsage.Percentile(share)
		a.MemoryPercentiles[i] = c.aggregate.AggregateMemoryPeaks.Percentile(share)
	}
	a.CPUTotal = total(c.aggregate.AggregateCPUUsage)
	a.MemoryTotal = total(c.aggregate.AggregateMemoryPeaks)
	r := c.recommend(logic.CreatePodResourceRecommender(defaults))
	for i, resources := range []model.Resources{r.LowerBound, r.Target, r.UpperBound} {
		a.CPU[i] = int64(resources[model.ResourceCPU])
		a.Memory[i] = int64(resources[model.ResourceMemory])
	}
	return a
}

func total(histogram util.Histogram) float64 {
	checkpoint, err := histogram.SaveToChekpoint()
	if err != nil {
		panic(err)
	}
	return checkpoint.TotalWeight
}

// golden writes what VPA's own code answers on the generated containers.
func golden(to io.Writer) error {
	const newYear, noon = 1_767_225_600, 1_767_225_600 + 43_200
	cases := []goldenCase{
		{Shape: flat, Seed: 1, Start: newYear, Step: 60, Samples: 4000},
		{Shape: wave, Seed: 2, Start: noon, Step: 300, Samples: 6000},
		{Shape: growth, Seed: 3, Start: noon + 1234, Step: 60, Samples: 12000},
		{Shape: spikes, Seed: 4, Start: 0, Step: 300, Samples: 9000},
		{Shape: restarts, Seed: 5, Start: newYear + 77, Step: 300, Samples: 9000},
		{Shape: zeros, Seed: 6, Start: newYear, Step: 600, Samples: 5000},
		// Long enough for weights to be renormalised twice: 250 half-lives.
		{Shape: wave, Seed: 7, Start: 600, Step: 3600, Samples: 6000},
	}
	for i := range cases {
		c, this := newContainer(), &cases[i]
		every := this.Samples / 8
		generate(this.Shape, this.Seed, this.Start, this.Step, this.Samples, func(i int64, u usage) {
			c.see(u)
			if i < 3 || i%every == every-1 || u.oom > 0 {
				this.Answers = append(this.Answers, answerOf(c, i))
			}
		})
	}
	// One case a line.
	for _, each := range cases {
		if err := json.NewEncoder(to).Encode(each); err != nil {
			return err
		}
	}
	return nil
}
