// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Part is what a writer from CreatePart sealed at its path.
type Part struct {
	Temp string
	Progress
}

// Shown returns the PTS of the part's frames, in units of the source's time base. It fails with ErrResume if they are
// not as they were sealed.
func (p Part) Shown() ([]int64, error) { return readTimes(TimesPath(p.Temp), p.Times) }

// CreatePart is like Create, but for a run of the video's frames. Join joins its segments with those of the other runs.
// begin is the PTS of the video's first frame. The writer is sealed, never finished.
func (t Tools) CreatePart(ctx context.Context, tempPath string, plan Plan, resume *Progress, begin int64) (
	*Writer, error) {
	return t.create(ctx, tempPath, plan, writerStart{resume: resume, begin: &begin})
}

// Join is like Create, but for a video whose parts are all written, each by its own writer with the same plan. Their
// files stay where they are, and the writer only has to be finished. times are the PTS of all frames of the video. Join
// fails with ErrResume unless the parts have exactly these frames, in order. Finish fails with ErrResume if the
// segments are not as they were sealed, or if the encoder described them differently.
func (t Tools) Join(ctx context.Context, tempPath string, plan Plan, parts []Part, times []int64) (*Writer, error) {
	return t.create(ctx, tempPath, plan, writerStart{parts: parts, times: times})
}

// adopt takes over the parts, and removes a partly joined output.
func (w *Writer) adopt(parts []Part, times []int64) error {
	if err := removeFiles(w.temp); err != nil {
		return err
	}
	if len(times) == 0 {
		return fileError(w.temp, ErrResume, "no frame is known")
	}
	w.beginAt(times[0])
	for _, part := range parts {
		if err := w.adoptPart(part, times[w.frames:]); err != nil {
			return err
		}
	}
	if w.frames != int64(len(times)) {
		return fileError(w.temp, ErrResume, "its parts have %d of %d frames", w.frames, len(times))
	}
	w.logged = len(w.times.deltas) // nothing is left to seal
	return nil
}

func (w *Writer) adoptPart(part Part, times []int64) error {
	from := &Writer{temp: part.Temp}
	shown, err := part.Shown()
	if err != nil {
		return err
	}
	if int64(len(shown)) != part.Frames || len(shown) > len(times) || !slices.Equal(shown, times[:len(shown)]) {
		return fileError(part.Temp, ErrResume, "its frames are not the ones that belong at its place in the video")
	}
	if part.Origin != w.origin || len(part.Ends) != len(part.Segments) {
		return fileError(part.Temp, ErrResume, "its times start from another zero, or its segments are unknown")
	}
	for n, sealed := range part.Segments {
		w.adopted = append(w.adopted, from.segmentPath(n))
		w.segments, w.ends = append(w.segments, sealed), append(w.ends, w.frames+part.Ends[n])
	}
	for _, pts := range shown {
		w.times.add(pts)
	}
	w.frames += part.Frames
	return nil
}

// readTimes reads the PTS in a sealed times file.
func readTimes(path string, sealed Sealed) ([]int64, error) {
	all, err := durable.ReadFile(path)
	if err != nil {
		return nil, SealedError(path, err)
	}
	if int64(len(all)) < sealed.Size || sealed.Size <= 0 {
		return nil, fileError(path, ErrResume, changed)
	}
	all = all[:sealed.Size]
	if got, err := identify(bytes.NewReader(all)); err != nil || got != sealed {
		return nil, fileError(path, ErrResume, changed)
	}
	return shownIn(all), nil
}

// shownIn returns the PTS in a time log.
func shownIn(deltas []byte) (shown []int64) {
	r := bufio.NewReader(bytes.NewReader(deltas))
	var log timeLog
	for {
		pts, err := log.next(r)
		if err != nil {
			return shown
		}
		shown = append(shown, pts)
	}
}
