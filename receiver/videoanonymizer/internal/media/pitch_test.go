// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// voice returns two seconds of pulses at a pitch in Hz, through a resonance at 700 Hz, with noise and a pause.
func voice(pitch float64) []int16 {
	rng := rand.New(rand.NewPCG(1, 1))
	samples, before, last := make([]int16, 2*pitchRate), 0.0, 0.0
	for i := range samples {
		if i > len(samples)/3 && i < len(samples)/2 {
			samples[i] = int16(20 * rng.NormFloat64())
			continue
		}
		pulse := .02 * rng.NormFloat64()
		if math.Mod(float64(i), pitchRate/pitch) < 1 {
			pulse++
		}
		before, last = last, pulse+2*.9*math.Cos(2*math.Pi*700/pitchRate)*last-.81*before
		samples[i] = int16(4000 * last)
	}
	return samples
}

func TestMedianPitch(t *testing.T) {
	for _, hz := range []float64{80, 110, 160, 220, 300} {
		assert.InDelta(t, hz, medianPitch(voice(hz)), hz/40)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]int16, pitchRate)
	for i := range noise {
		noise[i] = int16(3000 * rng.NormFloat64())
	}
	assert.Zero(t, medianPitch(noise), "noise")
	assert.Zero(t, medianPitch(make([]int16, pitchRate)), "silence")
	assert.Zero(t, medianPitch(nil), "nothing")
}
