// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"
)

// WallRatio returns the wall time of the pipeline, relative to the ideal.
func (r round) WallRatio() float64 { return r.Pipeline.Wall.Seconds() / r.Ideal.Wall.Seconds() }

// CPURatio returns the CPU time of the pipeline, relative to the ideal.
func (r round) CPURatio() float64 { return r.Pipeline.CPU.Seconds() / r.Ideal.CPU().Seconds() }

// FFmpegRatio returns the CPU time of the pipeline, relative to ffmpeg alone.
func (r round) FFmpegRatio() float64 { return r.Pipeline.CPU.Seconds() / r.Ideal.FFmpeg.Seconds() }

// medians are the medians of all rounds, except for Peak, which is the maximum.
type medians struct {
	IdealWall, Wall, Finish, Start   time.Duration
	FFmpeg, Inference, CPU           float64 // ms of CPU time per frame
	WallRatio, CPURatio, FFmpegRatio float64
	FPS                              float64
	Peak                             int64
}

// Medians returns the medians of all figures.
func (c *clipResult) Medians() medians {
	m := medians{
		IdealWall:   median(c, func(r round) time.Duration { return r.Ideal.Wall }),
		Wall:        median(c, func(r round) time.Duration { return r.Pipeline.Wall }),
		Finish:      median(c, func(r round) time.Duration { return r.Pipeline.Finish }),
		Start:       median(c, func(r round) time.Duration { return r.Pipeline.Start }),
		FFmpeg:      median(c, func(r round) float64 { return r.Pipeline.PerFrame(r.Ideal.FFmpeg) }),
		Inference:   median(c, func(r round) float64 { return r.Pipeline.PerFrame(r.Ideal.Inference) }),
		CPU:         median(c, func(r round) float64 { return r.Pipeline.PerFrame(r.Pipeline.CPU) }),
		WallRatio:   median(c, round.WallRatio),
		CPURatio:    median(c, round.CPURatio),
		FFmpegRatio: median(c, round.FFmpegRatio),
		FPS:         median(c, func(r round) float64 { return r.Pipeline.FPS() }),
	}
	for _, r := range c.Rounds {
		m.Peak = max(m.Peak, r.Pipeline.Peak)
	}
	return m
}

// median returns the median of a figure over the rounds; of an even number, the lower one.
func median[T float64 | time.Duration](c *clipResult, figure func(round) T) T {
	var all []T
	for _, r := range c.Rounds {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// mean returns the mean of a CPU time of the pipeline, in ms per frame.
func (c *clipResult) mean(figure func(pass) time.Duration) (mean float64) {
	for _, r := range c.Rounds {
		mean += r.Pipeline.PerFrame(figure(r.Pipeline)) / float64(len(c.Rounds))
	}
	return mean
}

// MeanCPU returns the mean CPU time, in ms per frame.
func (c *clipResult) MeanCPU() float64 { return c.mean(func(p pass) time.Duration { return p.CPU }) }

// MeanKernel returns the mean CPU time inside the kernel, in ms per frame.
func (c *clipResult) MeanKernel() map[string]float64 {
	return map[string]float64{
		"collector": c.mean(func(p pass) time.Duration { return p.Kernel.Collector }),
		"decoder":   c.mean(func(p pass) time.Duration { return p.Kernel.Decoder }),
		"encoder":   c.mean(func(p pass) time.Duration { return p.Kernel.Encoder }),
		"others":    c.mean(func(p pass) time.Duration { return p.Kernel.Others }),
	}
}

// row is a part of the work and its CPU time, in ms per frame.
type row struct {
	Name part
	Cost float64
}

// Table returns all parts that used CPU time.
func (c *clipResult) Table() (rows []row) {
	for _, name := range order {
		if cost := c.mean(func(p pass) time.Duration { return p.Parts[name] }); cost > 0 {
			rows = append(rows, row{name, cost})
		}
	}
	return rows
}

// Settings returns the encoder's settings.
func (c *clipResult) Settings() string { return c.Rounds[0].Ideal.Settings }

// Inferences returns the number of inferences of each model in a run.
func (c *clipResult) Inferences() string {
	counts := c.Rounds[0].Ideal.Inferences
	var texts []string
	for _, model := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%d of %s", counts[model], strings.TrimSuffix(model, ".onnx")))
	}
	return strings.Join(texts, ", ")
}

// CPU returns the CPU time, in ms per frame.
func (p point) CPU() float64 { return p.Pass.PerFrame(p.Pass.CPU) }

// Inference returns the CPU time of ONNX Runtime and of the preparation of its inputs, in ms per frame.
func (p point) Inference() float64 {
	return p.Pass.PerFrame(p.Pass.Parts[inferring] + p.Pass.Parts[preprocessing])
}

// Codec returns the CPU time of decoding and encoding, in ms per frame.
func (p point) Codec() float64 {
	return p.Pass.PerFrame(p.Pass.Parts[decoding] + p.Pass.Parts[encoding])
}

// Slope returns the CPU time that each additional person in the frame costs, in ms per frame.
func (s *series) Slope() float64 { return s.slope(point.CPU) }

// InferenceSlope returns the part of Slope that inference takes.
func (s *series) InferenceSlope() float64 { return s.slope(point.Inference) }

// slope fits a line by least squares. It leaves out the clip without people, which is searched a second time.
func (s *series) slope(cost func(point) float64) float64 {
	var people, costs []float64
	for _, p := range s.Points {
		if p.People > 0 {
			people, costs = append(people, p.People), append(costs, cost(p))
		}
	}
	_, slope := stat.LinearRegression(people, costs, nil, false)
	return slope
}

// Millions returns the millions of spans per second.
func (c spanCost) Millions() float64 { return 1000 / c.NS }
