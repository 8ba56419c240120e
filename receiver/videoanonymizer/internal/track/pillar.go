// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A pillar is judged by the sightings within pillarOver before and after a frame, if there are at least
	// pillarSightings of them, over at least pillarSpan.
	pillarOver      = time.Second
	pillarSpan      = 800 * time.Millisecond
	pillarSightings = 5
	// Its boxes overlap by at least this intersection over union: people who stand still move more over time.
	pillarOverlap = 0.5
	// pillarEvidence is the mean of the best keypoint's score below which no person shows. In vtest.avi it is 0.2 for a
	// post and a traffic cone, and 0.75 in the median and above 0.39 in 99 % of the boxes of 301 annotated people, most of
	// whom are less than 100 pixels high and half of whom show their backs.
	pillarEvidence = 0.25
	// Only figures from head to foot, whose box is at least this many times as high as wide, and boxes lower than this
	// share of the frame are pillars: of people nearby, too little may show for keypoints.
	pillarAspect = 2.0
	pillarHeight = 0.15
)

// pillar reports whether the track is no person at a time: for seconds it does not move, and neither a face nor
// keypoints show that it is one. Someone who stands still with the back to the camera shows shoulders and hips.
func (t *track) pillar(at time.Duration, frameHeight int) bool {
	var first, last *sighting
	var evidence float32
	n := 0
	for i := range t.seen {
		s := &t.seen[i]
		if (s.time - at).Abs() > pillarOver {
			continue
		}
		if first == nil {
			first = s
		}
		low := s.box.Height() < pillarHeight*float32(frameHeight)
		figure := s.box.Height() >= pillarAspect*s.box.Width()
		if s.face || !low && !figure || vision.IoU(first.box, s.box) < pillarOverlap {
			return false
		}
		last = s
		evidence += s.evidence
		n++
	}
	return n >= pillarSightings && last.time-first.time >= pillarSpan && evidence < pillarEvidence*float32(n)
}
