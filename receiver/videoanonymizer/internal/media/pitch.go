// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import "slices"

const (
	// pitchRate is the sample rate of audio whose pitch is measured, in Hz.
	pitchRate = 8000
	// pitchFrame is the number of samples of a frame, 40 ms: at least two periods of the lowest pitch searched for.
	pitchFrame = pitchRate / 25
	// shortestPeriod and longestPeriod are the periods of 400 and 62 Hz, in samples: speech has a pitch from 75 to 300 Hz,
	// except that of small children.
	shortestPeriod, longestPeriod = pitchRate / 400, pitchRate / 62
	// A frame has a pitch if its power is at least voicedPower, of a full scale of 1, and its autocorrelation at a lag of
	// one period is more than half of that power.
	voicedPower, voicedCorrelation = 1e-4, 0.5
)

// medianPitch is the pitch in Hz of the voices in samples of pitchRate: the median over the frames that have one, by
// autocorrelation (Rabiner, "On the use of autocorrelation analysis for pitch detection", 1977). 0 means that no frame
// has one.
func medianPitch(samples []int16) float64 {
	var found []float64
	frame := make([]float64, pitchFrame)
	for at := 0; at+pitchFrame <= len(samples); at += pitchFrame {
		for i := range frame {
			frame[i] = float64(samples[at+i]) / (1 << 15)
		}
		if period := periodOf(frame); period > 0 {
			found = append(found, pitchRate/float64(period))
		}
	}
	if len(found) == 0 {
		return 0
	}
	slices.Sort(found)
	return found[len(found)/2]
}

// periodOf is the period of a frame in samples; 0 if it has none.
func periodOf(frame []float64) (period int) {
	power := correlation(frame, 0)
	if power < voicedPower*float64(len(frame)) {
		return 0
	}
	strongest := voicedCorrelation * power
	for lag := shortestPeriod; lag <= longestPeriod; lag++ {
		if c := correlation(frame, lag); c > strongest {
			period, strongest = lag, c
		}
	}
	return period
}

func correlation(frame []float64, lag int) (sum float64) {
	for i, v := range frame[lag:] {
		sum += v * frame[i]
	}
	return sum
}
