// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A detection may be a part of another person if partWithin of its box lies in the other's, which is at least partSize
	// times as large. Shoulders, hands and laps are 0.07 to 0.19 times the person's size; people in group photos are 0.21
	// times the size of what surrounds them, or more.
	partWithin = 0.9
	partSize   = 5
	// personEvidence is the minimum score of the best keypoint of a pose that shows a person. It is at most 0.35 where
	// detectors mistook a shoulder, a lap or a book for a person, and at least 0.49 for people hidden by others in a
	// crowd.
	personEvidence = 0.4
)

// Parts returns the indexes of the people who may be a part of someone else, such as a shoulder or a hand: their head
// is a guess, their pose shows hardly anything, and they lie within someone much larger whose head is found. If the
// options mask more than the head when it is in doubt, it returns none.
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
		for j, whole := range o.People {
			if found(j) && area(whole.Box) >= partSize*area(p.Box) && p.Box.Shared(whole.Box) >= partWithin {
				parts = append(parts, i)
				break
			}
		}
	}
	return parts
}

func area(b vision.Box) float32 { return b.Width() * b.Height() }
