// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// sighting is a head found in an analyzed frame.
type sighting struct {
	number   int      // of the frame
	analyses analyses // up to that one
	// hidden means that the usual analysis does not find the person, only a harder search such as a survey.
	hidden bool
	time   time.Duration
	head   mask.Head
	box    vision.Box
	body   *mask.Body // nil if the person was not segmented
	// certain means that a detector was certain of the person or the face, and that the pose does not show someone else.
	// Other sightings are candidates, which a pose or a track may confirm, or second boxes of someone.
	certain bool
	// guess means that no keypoint and no face shows where the head is.
	guess bool
	// face means that a face was found; evidence is the score 0..1 of the keypoint that best shows a person.
	face     bool
	evidence float32
	// glance is the glance at the frame, or nil if there is none.
	glance *Glance
	// moved is how far the coordinates have moved since the frame.
	moved Vector
	// doubtful means that this may not be the same person as in the track's previous sighting.
	doubtful bool
}

// sightings returns the heads found in the frame: confirmed ones, and those of candidates that only a track can
// confirm. If a confirmed head may be anywhere, the whole frame is masked.
func (f *frame) sightings(opts mask.GeometryOptions) (confirmed, candidates []sighting) {
	people, heads := dropGuesses(f.People, mask.LocateHeads(f.People, f.Width, f.Height, opts))
	bodies := mask.LocateBodies(people, heads, f.Width, f.Height)
	lone, hasFace := mask.JoinFaces(heads, f.Faces, f.Width, f.Height, opts)
	second := secondBoxes(people, heads, hasFace, opts)
	for i, p := range people {
		certain := !p.Candidate || hasFace[i]
		isConfirmed := certain || mask.PoseConfirms(p, f.Width, f.Height)
		s := sighting{
			number: f.number, analyses: f.analyses, time: f.Time, head: heads[i], box: p.Box, body: bodies[i],
			hidden: p.Hidden, glance: f.Glance,
			certain: certain, face: hasFace[i], evidence: mask.PoseEvidence(p),
		}
		s.certain = s.certain && !second[i] && !(heads[i].Origin == mask.OriginBox && shadows(p, i, heads))
		s.guess = s.head.Origin == mask.OriginBox && opts.OnUncertain != mask.WholePerson
		switch anywhere := s.head.Origin == mask.OriginFrame || !s.head.Sane(); {
		case anywhere && isConfirmed:
			f.whole = true
			f.unplaced++
		case anywhere:
		case isConfirmed && !second[i]:
			confirmed = append(confirmed, s)
		default:
			candidates = append(candidates, s)
		}
	}
	for _, h := range lone {
		if h.Origin == mask.OriginFrame {
			f.whole = true
			f.unplaced++
			continue
		}
		confirmed = append(confirmed, sighting{
			number: f.number, analyses: f.analyses, time: f.Time, head: h, box: h.Bounds(), certain: true, face: true,
			glance: f.Glance,
		})
	}
	return confirmed, candidates
}

const (
	// A person whose head is a guess is a second box of someone else if the pose shows the other's head, and at least
	// secondPart of the box lies in the other's box. The other's head must have a score of at least secondScore, and its
	// center must lie within the guess.
	secondPart  = 0.5
	secondScore = 0.4
)

// secondBoxes reports which people are second boxes of others, and replaces their heads, in place, with the others'
// heads. Second boxes only continue tracks, since they may be people whom others hide.
func secondBoxes(people []vision.Person, heads []mask.Head, hasFace []bool, opts mask.GeometryOptions) []bool {
	second := make([]bool, len(people))
	for i, p := range people {
		if heads[i].Origin != mask.OriginBox || hasFace[i] || opts.OnUncertain == mask.WholePerson {
			continue
		}
		x, y, ok := faceOf(p)
		for j, o := range people {
			if ok && j != i && !second[j] && heads[j].Origin == mask.OriginPose && heads[j].Score >= secondScore &&
				heads[j].Contains(x, y) && heads[i].Contains(heads[j].X, heads[j].Y) &&
				p.Box.Shared(o.Box) >= secondPart {
				second[i], heads[i] = true, heads[j]
				break
			}
		}
	}
	return second
}

// shadows reports whether the person at an index, whose head is a guess, has another person's face: most often, it is
// the same person in a second box.
func shadows(p vision.Person, index int, heads []mask.Head) bool {
	x, y, ok := faceOf(p)
	for i, h := range heads {
		if ok && i != index && h.Origin == mask.OriginPose && h.Contains(x, y) {
			return true
		}
	}
	return false
}

// faceOf returns where the person's pose shows a face, regardless of the box; ok is false if it shows none.
func faceOf(p vision.Person) (x, y float32, ok bool) {
	if p.Pose == nil {
		return 0, 0, false
	}
	var sum float32
	for _, k := range p.Pose[:vision.RightEar+1] {
		x, y, sum = x+k.Score*k.X, y+k.Score*k.Y, sum+k.Score
	}
	return x / sum, y / sum, sum/(vision.RightEar+1) >= shadowScore
}

// shadowScore is the minimum mean score at which a face's keypoints show whose face it is: the score from which a
// single keypoint is trusted.
const shadowScore = 0.2

// dropGuesses drops the candidates that add nothing: those whose keypoints do not show the head, since its position
// would be a guess that may cover half of the frame (a face found there is a separate sighting), and those whose head
// was already found with more confidence.
func dropGuesses(people []vision.Person, heads []mask.Head) (known []vision.Person, located []mask.Head) {
	order := make([]int, len(people))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return vision.ByConfidence(people[i].Detection, people[j].Detection)
	})
	for _, i := range order {
		p, h := people[i], heads[i]
		if p.Candidate && (h.Origin != mask.OriginPose || h.Sane() && mask.Contained(h.X, h.Y, located)) {
			continue
		}
		known, located = append(known, p), append(located, h)
	}
	return known, located
}
