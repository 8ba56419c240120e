// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

// With each checkpoint, a writer and a recorder make more segments durable, and extend their files of times and of
// frames. A share keeps only files that do not change: the new segments as they are, what was added to the other files,
// and the checkpoint. restore reassembles them where another writer finds them.

// sealer seals the checkpoints of one unit of a share.
type sealer struct {
	ctx    context.Context
	task   *share.UnitTask
	length time.Duration // of the unit
	begun  time.Time
	last   checkpoint          // the last one that was sealed; empty for none
	span   *telemetry.UnitSpan // of a video that is one unit
}

// mostSegments is the approximate maximum of segments in a unit: its record, whose size is limited, names the files of
// each.
const mostSegments = 100

// segment returns how long a segment plays and how long it takes at most, given the usual limits. They are higher in a
// video of many hours that is one unit, or that takes many hours.
func (s *sealer) segment(playing, working time.Duration) (longer, slower time.Duration) {
	return max(playing, s.length/mostSegments), max(working, time.Since(s.begun)/mostSegments)
}

// sealedNote describes the files of a segment, which are in this order: the checkpoint, the times, Video segments, then
// the times and Preview segments of the preview if Preview is not 0, and the report's frames if Frames is true.
type sealedNote struct {
	Video   int  `json:"video"`
	Preview int  `json:"preview,omitempty"`
	Frames  bool `json:"frames,omitempty"`
}

// seal seals a checkpoint, whose JSON is text.
func (s *sealer) seal(a *attempt, c *checkpoint, text []byte) error {
	var note sealedNote
	paths := []string{s.task.Path(checkpointSuffix)}
	if err := durable.WriteFile(paths[0], text, durable.Private); err != nil {
		return fmt.Errorf("checkpoint: %w", media.WriteError(err))
	}
	add := func(temp string, now, before *media.Progress) (segments int, err error) {
		times := s.task.Path(".times")
		if err := copyPart(media.TimesPath(temp), before.Times.Size, now.Times.Size, times); err != nil {
			return 0, err
		}
		paths = append(paths, times)
		for n := len(before.Segments); n < len(now.Segments); n++ {
			paths = append(paths, media.SegmentPath(temp, n))
		}
		return len(now.Segments) - len(before.Segments), nil
	}
	var err error
	if note.Video, err = add(a.temp(filepath.Ext(a.file.Temp)), &c.Video, &s.last.Video); err != nil {
		return err
	}
	if c.Preview != nil {
		before := s.last.Preview
		if before == nil {
			before = &media.Progress{}
		}
		if note.Preview, err = add(a.review.previewTemp(), c.Preview, before); err != nil {
			return err
		}
	}
	if note.Frames = c.Report != nil; note.Frames {
		var before int64
		if s.last.Report != nil {
			before = s.last.Report.Bytes
		}
		frames := s.task.Path(framesSuffix)
		if err := copyPart(a.temp(framesSuffix), before, c.Report.Bytes, frames); err != nil {
			return err
		}
		paths = append(paths, frames)
	}
	noted, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if err := s.task.Seal(s.ctx, paths, noted); err != nil {
		return err
	}
	s.last = *c
	return nil
}

// copyPart copies a range of a file to a new one.
func copyPart(path string, from, to int64, fresh string) error {
	f, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return media.WriteError(err)
	}
	defer f.Close()
	created, err := durable.Create(fresh)
	if err != nil {
		return media.WriteError(err)
	}
	n, err := io.Copy(created, io.NewSectionReader(f, from, to-from))
	if err == nil && n != to-from {
		err = fmt.Errorf("%s has %d bytes fewer than were written", path, to-from-n)
	}
	return media.WriteError(errors.Join(err, created.Close()))
}

// restoredTo has the paths at which the files of a unit are reassembled.
type restoredTo struct{ video, preview, frames string }

// restore reassembles what was sealed of a unit, and returns its last checkpoint, or nil if there is none. It fails
// with media.ErrResume if that cannot be used.
func restore(sealed []share.SealedSegment, to restoredTo) (*checkpoint, error) {
	var c *checkpoint
	var video, preview int
	for _, s := range sealed {
		var note sealedNote
		err := json.Unmarshal(s.Note, &note)
		if err != nil || len(s.Paths) != note.files() {
			return nil, fmt.Errorf("%w: it is unknown what was sealed: %w", media.ErrResume, err)
		}
		text, err := durable.ReadFile(s.Paths[0])
		if err != nil {
			return nil, media.WriteError(err)
		}
		latest, err := decodeCheckpoint(text)
		if err != nil {
			return nil, fmt.Errorf("%w: the checkpoint: %w", media.ErrResume, err)
		}
		c = &latest
		left, err := place(s.Paths[1:], to.video, &video, note.Video)
		if err == nil && note.Preview > 0 {
			left, err = place(left, to.preview, &preview, note.Preview)
		}
		if err == nil && note.Frames {
			err = appendFile(left[0], to.frames)
		}
		if err != nil {
			return nil, media.WriteError(err)
		}
	}
	return c, nil
}

// files returns the number of files.
func (n *sealedNote) files() int {
	files := 2 + n.Video
	if n.Preview > 0 {
		files += 1 + n.Preview
	}
	if n.Frames {
		files++
	}
	return files
}

// place puts times and segments where a writer at temp finds them after those that it already has, and returns the
// remaining paths.
func place(paths []string, temp string, has *int, segments int) (left []string, err error) {
	if err := appendFile(paths[0], media.TimesPath(temp)); err != nil {
		return nil, err
	}
	for _, path := range paths[1 : 1+segments] {
		if err := os.Link(path, media.SegmentPath(temp, *has)); err != nil { // nobody writes to it any more
			return nil, err
		}
		*has++
	}
	return paths[1+segments:], nil
}

func appendFile(path, to string) error {
	f, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	all, err := durable.Open(to, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = io.Copy(all, f)
	return errors.Join(err, all.Close())
}
