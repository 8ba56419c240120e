// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// print writes the tables of docs/voices.md.
func print(w io.Writer, spoken, altered []speaker) {
	known := func(s speaker) *mat.Dense { return s.known }
	var same, others, moved, linked []float64
	for i := range spoken {
		same = append(same, distance(spoken[i].known, spoken[i].other))
		moved = append(moved, distance(spoken[i].known, altered[i].other))
		linked = append(linked, distance(altered[i].known, altered[i].other))
		for j := range spoken {
			if i != j {
				others = append(others, distance(spoken[i].known, spoken[j].other))
			}
		}
	}
	mean := func(all []float64) float64 { return stat.Mean(all, nil) }
	fmt.Fprintf(w, "| speaker distance | mean |\n| --- | ---: |\n")
	fmt.Fprintf(w, "| the same voice, other sentences | %.1f |\n", mean(same))
	fmt.Fprintf(w, "| two voices | %.1f |\n", mean(others))
	fmt.Fprintf(w, "| a voice and itself, altered | %.1f |\n", mean(moved))
	fmt.Fprintf(w, "| the same altered voice, other sentences | %.1f |\n\n", mean(linked))
	fmt.Fprintf(w, "| who is it, of %d voices? | right |\n| --- | ---: |\n", len(spoken))
	fmt.Fprintf(w, "| as recorded, by what was recorded | %d of %d |\n", named(spoken, spoken, known), len(spoken))
	fmt.Fprintf(w, "| altered, by what was recorded | %d of %d |\n", named(spoken, altered, known), len(spoken))
	fmt.Fprintf(w, "| altered, by what was altered | %d of %d |\n\n", named(altered, altered, known), len(spoken))
	fmt.Fprintf(w, "| voice | pitch | altered | words not recognized | altered |\n| --- | ---: | ---: | ---: | ---: |\n")
	var all, allAltered speaker
	for i, s := range spoken {
		a := altered[i]
		fmt.Fprintf(w, "| %s | %.0f Hz | %.0f Hz | %s | %s |\n", s.name, s.pitch, a.pitch, s.errors(), a.errors())
		all.words, all.wrong = all.words+s.words, all.wrong+s.wrong
		allAltered.words, allAltered.wrong = allAltered.words+a.words, allAltered.wrong+a.wrong
	}
	fmt.Fprintf(w, "| all | | | %s | %s |\n", all.errors(), allAltered.errors())
}

// named returns for how many heard speakers the nearest known speaker is the right one.
func named(known, heard []speaker, of func(speaker) *mat.Dense) (right int) {
	for i := range heard {
		best := 0
		for j := range known {
			if distance(of(known[j]), heard[i].other) < distance(of(known[best]), heard[i].other) {
				best = j
			}
		}
		if best == i {
			right++
		}
	}
	return right
}

func (s speaker) errors() string {
	return fmt.Sprintf("%.0f %%", 100*float64(s.wrong)/float64(s.words))
}
