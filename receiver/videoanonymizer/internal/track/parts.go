// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// Someone may be a part of another if partWithin of their box lies in the other's, which is at least partSize times as
	// large. Shoulders, hands and laps have 0.07 to 0.19 of the person's size; people in photographs of groups, 0.21 and
	// more of what is around them.
	partWithin = 0.9
	partSize   = 5
	// personEvidence is the score of a keypoint from which a pose shows a person. It is 0.35 at most where detectors took
	// a shoulder, a lap or a book for one, and 0.49 at least of people whom others in a crowd hide.
	personEvidence = 0.4
)

// Parts are the indexes of the people who may be a part of someone else, such as a shoulder or a hand: their head is a
// guess, their pose shows hardly anything, and they lie within someone much larger whose head is found. Where the
// options ask for more than a head in doubt, nobody is.
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
