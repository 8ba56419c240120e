// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// partWithin is the share of a box that lies in a larger one if it may be a part of the person there.
	partWithin = 0.9
	// personEvidence is the score of a keypoint from which a pose shows a person. It is 0.35 at most where detectors took
	// a shoulder, a lap or a book for one, and 0.49 at least of people whom others in a crowd hide.
	personEvidence = 0.4
)

// Parts are the indexes of the people who may be a part of someone else, such as a shoulder or a hand: their head is a
// guess, their pose shows hardly anything, and they lie within someone larger whose head is found, or their pose shows
// someone else's face. Where the options ask for more than a head in doubt, nobody is.
func Parts(o Observation, opts mask.GeometryOptions) (parts []int) {
	heads := mask.LocateHeads(o.People, o.Width, o.Height, opts)
	_, hasFace := mask.JoinFaces(heads, o.Faces, o.Width, o.Height, opts)
	found := func(j int) bool {
		return hasFace[j] || heads[j].Origin == mask.OriginPose && heads[j].Score >= sureScore
	}
	for i, p := range o.People {
		if p.Candidate || hasFace[i] || heads[i].Origin != mask.OriginBox || opts.OnUncertain == mask.WholePerson ||
			mask.PoseEvidence(p) >= personEvidence {
			continue
		}
		within := slices.ContainsFunc(indexes(o.People), func(j int) bool {
			return j != i && found(j) && area(o.People[j].Box) > area(p.Box) && p.Box.Shared(o.People[j].Box) >= partWithin
		})
		if within || shadows(p, i, heads) {
			parts = append(parts, i)
		}
	}
	return parts
}

func indexes[T any](s []T) []int {
	all := make([]int, len(s))
	for i := range all {
		all[i] = i
	}
	return all
}

func area(b vision.Box) float32 { return b.Width() * b.Height() }
