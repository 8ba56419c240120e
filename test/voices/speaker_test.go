// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWordErrors(t *testing.T) {
	for heard, want := range map[string]int{
		"a b c d": 0, "": 4, "a b c": 1, "a b x c d": 1, "a x c d": 1, "b c d a": 2, "x y z": 4,
	} {
		assert.Equal(t, want, wordErrors(strings.Fields("a b c d"), strings.Fields(heard)), heard)
	}
}

// voice returns one second of pulses at a pitch, through a resonance at a formant, both in Hz, with noise.
func voice(pitch, formant float64, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	samples := make([]float64, rate)
	radius, angle := 0.97, 2*math.Pi*formant/rate
	for i := 2; i < len(samples); i++ {
		pulse := 0.01 * rng.NormFloat64()
		if math.Mod(float64(i), rate/pitch) < 1 {
			pulse++
		}
		samples[i] = pulse + 2*radius*math.Cos(angle)*samples[i-1] - radius*radius*samples[i-2]
	}
	return samples
}

func TestPitch(t *testing.T) {
	for _, hz := range []float64{80, 120, 250} {
		assert.InDelta(t, hz, pitch(voice(hz, 700, 1)), hz/50)
	}
	assert.Zero(t, pitch(make([]float64, rate)))
}

// TestDistance: recordings of one voice are closer to each other than to a voice with another resonance.
func TestDistance(t *testing.T) {
	one, again, other := cepstra(voice(120, 700, 1)), cepstra(voice(120, 700, 2)), cepstra(voice(120, 900, 3))
	assert.InDelta(t, 0, distance(one, one), 1e-6)
	assert.InDelta(t, distance(one, other), distance(other, one), 1e-6)
	assert.Greater(t, distance(one, other), 3*distance(one, again))
}
