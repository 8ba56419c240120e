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
	// hidden means that only a hard look shows the person.
	hidden bool
	time   time.Duration
	head   mask.Head
	box    vision.Box
	body   *mask.Body // nil if the person was not segmented
	// certain means that a detector was certain of the person or the face, and the pose does not show someone else;
	// others are candidates, which a pose or a track may confirm, or a second box of someone.
	certain bool
	// guess means that no keypoint and no face shows where the head is.
	guess bool
	// face means that a face was found, and evidence is the score 0..1 of the keypoint that best shows a person.
	face     bool
	evidence float32
	// glance is that at the frame, nil if there is none.
	glance *Glance
	// moved is by how much the coordinates have moved since the frame.
	moved Vector
	// doubtful means that this may not be the same person as in the track's previous sighting.
	doubtful bool
}

// sightings are the heads found in the frame: those that are confirmed, and those of candidates that only a track can
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
	// A person whose head is a guess is someone else in a second box if their pose shows the other's head, and at least
	// secondPart of the box is in the other's. The other's head is found with at least secondScore, and is where the guess
	// is, too.
	secondPart  = 0.5
	secondScore = 0.4
)

// secondBoxes reports which people are second boxes of others: they only continue tracks, since they may be someone
// whom another hides. It gives them, in place, the others' heads.
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

// shadows reports whether the person at an index, whose head is a guess, has the face of another one: most often it is
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

// faceOf is where the person's pose shows a face, wherever the box is; ok is false if it shows none.
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

// shadowScore is the mean score from which the keypoints of a face show whose it is: that from which a single one is
// trusted.
const shadowScore = 0.2

// dropGuesses drops the candidates that add nothing: those whose keypoints do not show the head, since its position
// would be a guess that may cover half of the frame (a face found there is a sighting of its own), and those whose head
// is that of someone found with more confidence.
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
