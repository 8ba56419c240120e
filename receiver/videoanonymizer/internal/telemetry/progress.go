// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import "time"

// Progress describes how far the processing of a video is, and how fast.
type Progress struct {
	// Frames is the number of frames done in this attempt.
	Frames int
	// Rate is the number of frames per second since the first frame was done, 0 if unknown.
	Rate float64
	// Done is the fraction of the video that is done, 0 to 1, negative if unknown.
	Done float64
	// Remaining is the time that the rest takes at this rate, negative if unknown.
	Remaining time.Duration
}

// Progress returns the progress of the video.
func (s *VideoSpan) Progress() Progress {
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	return s.progress(s.emitter.now())
}

// progress is Progress for callers that hold the emitter's lock.
func (s *VideoSpan) progress(now time.Time) Progress {
	f, playing := s.all(), s.playing()
	p := Progress{Frames: f.frames, Done: -1, Remaining: -1}
	_, before := s.resumedBefore()
	done := before + playing
	if s.video.Duration > 0 {
		p.Done = min(1, done.Seconds()/s.video.Duration.Seconds())
	}
	// The first frame does not count toward the rate: when it is done, many others are already in progress.
	took, shown := now.Sub(f.firstAt).Seconds(), (f.last - f.first).Seconds()
	if f.frames < 2 || took <= 0 || shown <= 0 {
		return p
	}
	p.Rate = float64(f.frames-1) / took
	if p.Done >= 0 {
		left := max(0, s.video.Duration-done).Seconds() * took / shown
		p.Remaining = time.Duration(min(left, maxRemaining.Seconds()) * float64(time.Second))
	}
	return p
}

// maxRemaining is longer than processing any video takes.
const maxRemaining = 365 * 24 * time.Hour
