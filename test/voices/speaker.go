// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// speaker has the measurements of a voice.
type speaker struct {
	name string
	// known and other are the cepstra of the two halves of the sentences, with a row for each frame.
	known, other *mat.Dense
	pitch        float64 // median, in Hz
	words, wrong int     // spoken, and not recognized
}

// Mel-frequency cepstral coefficients after Davis and Mermelstein (1980): 20 coefficients from 30 bands up to 7600 Hz,
// in frames of 25 ms, 10 ms apart. Frames without the power of speech are left out.
const (
	frameLength, frameStep = rate / 40, rate / 100
	transform              = 512
	bands, coefficients    = 30, 20
	lowest, highest        = 50.0, 7600.0
	leastPower             = 0.03 // relative to the mean power
	emphasis               = 0.97
)

// cepstra returns the coefficients of the frames with speech.
func cepstra(samples []float64) *mat.Dense {
	fft, filters := fourier.NewFFT(transform), melFilters()
	var spectra [][]float64
	var powers []float64
	for at := 1; at+frameLength <= len(samples); at += frameStep {
		frame := make([]float64, transform)
		for i := range frameLength {
			hamming := 0.54 - 0.46*math.Cos(2*math.Pi*float64(i)/(frameLength-1))
			frame[i] = hamming * (samples[at+i] - emphasis*samples[at+i-1])
		}
		spectrum, sum := make([]float64, transform/2+1), 0.0
		for i, c := range fft.Coefficients(nil, frame) {
			spectrum[i] = real(c)*real(c) + imag(c)*imag(c)
			sum += spectrum[i]
		}
		spectra, powers = append(spectra, spectrum), append(powers, sum)
	}
	least := leastPower * stat.Mean(powers, nil)
	var rows []float64
	for i, spectrum := range spectra {
		if powers[i] > least {
			rows = append(rows, cosines(filters, spectrum)...)
		}
	}
	return mat.NewDense(len(rows)/coefficients, coefficients, rows)
}

// cosines returns the discrete cosine transform of the logarithms of a spectrum's power by band, without its mean.
func cosines(filters [][]float64, spectrum []float64) []float64 {
	out := make([]float64, coefficients)
	for b, filter := range filters {
		power := 1e-10
		for i, weight := range filter {
			power += weight * spectrum[i]
		}
		for k := range out {
			out[k] += math.Log(power) * math.Cos(math.Pi*float64(k+1)*(float64(b)+0.5)/bands)
		}
	}
	return out
}

// melFilters returns triangular filters, equally spaced in mel.
func melFilters() [][]float64 {
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	edge := func(i int) float64 {
		at := mel(lowest) + (mel(highest)-mel(lowest))*float64(i)/(bands+1)
		return 700 * (math.Pow(10, at/2595) - 1) * transform / rate
	}
	filters := make([][]float64, bands)
	for b := range filters {
		left, middle, right := edge(b), edge(b+1), edge(b+2)
		filters[b] = make([]float64, transform/2+1)
		for i := range filters[b] {
			x := float64(i)
			filters[b][i] = max(0, min((x-left)/(middle-left), (right-x)/(right-middle)))
		}
	}
	return filters
}

// distance returns the symmetric Kullback-Leibler divergence of the normal distributions of two speakers' cepstra, a
// classical measure of how far apart two speakers are (Campbell, "Speaker recognition: a tutorial", 1997). 0 means the
// same.
func distance(a, b *mat.Dense) float64 {
	meanA, covA := gaussian(a)
	meanB, covB := gaussian(b)
	var inverseA, inverseB, inverses, product mat.Dense
	if inverseA.Inverse(covA) != nil || inverseB.Inverse(covB) != nil {
		return math.Inf(1)
	}
	product.Mul(&inverseB, covA)
	sum := mat.Trace(&product)
	product.Mul(&inverseA, covB)
	sum += mat.Trace(&product)
	inverses.Add(&inverseA, &inverseB)
	var between mat.VecDense
	between.SubVec(meanA, meanB)
	sum += mat.Inner(&between, &inverses, &between)
	return sum/2 - coefficients
}

func gaussian(rows *mat.Dense) (mean *mat.VecDense, covariance *mat.SymDense) {
	covariance = mat.NewSymDense(coefficients, nil)
	stat.CovarianceMatrix(covariance, rows, nil)
	mean = mat.NewVecDense(coefficients, nil)
	for k := range coefficients {
		mean.SetVec(k, stat.Mean(mat.Col(nil, k, rows), nil))
	}
	return mean, covariance
}

// pitch returns the median frequency in Hz of the strongest period from 62 to 400 Hz, in frames of 40 ms that have one.
func pitch(samples []float64) float64 {
	const length, shortest, longest = rate / 25, rate / 400, rate / 62
	var found []float64
	for at := 0; at+length <= len(samples); at += length / 2 {
		frame := samples[at : at+length]
		correlation := func(lag int) (sum float64) {
			for i := range length - lag {
				sum += frame[i] * frame[i+lag]
			}
			return sum
		}
		power := correlation(0)
		if power/length < 1e-3 {
			continue
		}
		best, strongest := 0, power/2
		for lag := shortest; lag < longest; lag++ {
			if c := correlation(lag); c > strongest {
				best, strongest = lag, c
			}
		}
		if best > 0 {
			found = append(found, rate/float64(best))
		}
	}
	if len(found) == 0 {
		return 0
	}
	slices.Sort(found)
	return found[len(found)/2]
}

// wordErrors returns the minimum number of words to insert, delete and replace to turn what was said into what was
// heard.
func wordErrors(said, heard []string) int {
	row := make([]int, len(heard)+1)
	for j := range row {
		row[j] = j
	}
	for i, word := range said {
		diagonal := row[0]
		row[0] = i + 1
		for j, other := range heard {
			cost := diagonal
			if word != other {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(heard)]
}
