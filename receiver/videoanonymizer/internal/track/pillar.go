// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A pillar is judged by the sightings within pillarOver before and after a frame, if there are at least
	// pillarSightings of them, spanning at least pillarSpan.
	pillarOver      = time.Second
	pillarSpan      = 800 * time.Millisecond
	pillarSightings = 5
	// Its boxes overlap by at least this intersection over union: even people who stand still move more over time.
	pillarOverlap = 0.5
	// pillarEvidence is the mean score of the best keypoint below which a track shows no person. In vtest.avi, it is 0.2
	// for a post and a traffic cone. In the boxes of 301 annotated people, most of whom are less than 100 pixels high and
	// half of whom show their backs, the median is 0.75, and 99 % are above 0.39.
	pillarEvidence = 0.25
	// Only figures from head to foot, whose box is at least pillarAspect times as high as wide, and boxes lower than
	// pillarHeight of the frame's height are pillars: people close to the camera may show too little for keypoints.
	pillarAspect = 2.0
	pillarHeight = 0.15
)

// pillar reports whether the track is not a person at a given time: it does not move around that time, and neither a
// face nor keypoints show a person. Someone who stands still with their back to the camera shows shoulders and hips.
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
