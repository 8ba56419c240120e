// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package pipeline takes one video through its stages: decode, detect (people and poses, on every n-th frame), track
// with a bounded look-ahead, mask, encode. The stages run in parallel, frames leave in order, and memory is bounded
// by the look-ahead, however long the video is. No frame reaches the sink unless it was analyzed, lies between frames
// that were, or is masked whole.
//
//	decode ──> queue ────────────────> sequence ──> mask ──> encode
//	   └─────> detect (n workers) ──────^  (waits for the frame's analysis)
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Source gives the frames of a video in presentation order and io.EOF after the last one.
type Source interface {
	Next() (*media.Frame, error)
}

// Sink takes the frames in the same order.
type Sink interface {
	// Write encodes a frame, calls Encoded on its record, and passes the record on to whoever needs it. It may draw
	// on the frame once that is encoded, and may block. Both frame and record are reused after it returns. An error
	// ends the video.
	Write(*media.Frame, *record.Frame) error
}

// Options say how a video is analyzed and masked.
type Options struct {
	Detector vision.Detector
	// PoseModel may be nil: heads are then derived from the boxes alone.
	PoseModel vision.PoseEstimator
	// Faces may be nil: faces of undetected people are then not masked.
	Faces vision.FaceDetector
	// Segmenter may be nil: only heads are then masked, rather than whole people except for trunk and limbs.
	Segmenter vision.Segmenter
	// DetectEvery is the distance between analyzed frames; 1 analyzes every frame. The first and the last frame are
	// always analyzed, and so are the frames on both sides of a scene cut and those that follow the last analyzed
	// frame by maxGap or more, so that nobody moves far unseen at a low frame rate.
	DetectEvery int
	// Workers is the number of frames analyzed at once.
	Workers int
	// FrameMemory bounds the bytes of decoded frames held at once; the look-ahead shrinks to fit.
	FrameMemory int64
	Track       track.Options
	Painter     *mask.Painter
	// Resume continues in the middle of a video; nil starts with its first frame.
	Resume *Resume
}

// Resume says where to continue a video that an earlier run began.
type Resume struct {
	// First is the index of the first frame to write. The source gives frames before it too: people are tracked
	// through them, across the boundary.
	First int
	// Begin is the time of the video's first frame.
	Begin time.Duration
	// Before is called with the record of the last frame before First as it would be masked now. An error ends the video.
	Before func(*record.Frame) error
}

// maxGap is 3 frames at 30 frames/s: in this time a person walking across the image moves by less than the width of a
// head.
const maxGap = 100 * time.Millisecond

// Run takes all frames from source to sink. It returns once the last frame is written, or with the first error of
// source or sink, or with the context's error; all its goroutines have ended by then.
//
// Run does not interrupt the source's Next and the sink's Write: they have to return when the context ends. When Run
// returns, every frame that it took is released.
func Run(ctx context.Context, source Source, sink Sink, opts Options) error {
	group, ctx := errgroup.WithContext(ctx)
	r := &run{
		opts: opts, ctx: ctx,
		due:     make(chan *item, opts.Workers),
		decoded: make(chan *item, opts.DetectEvery+opts.Workers),
		masked:  make(chan *item, 1),
		held:    map[*media.Frame]struct{}{},
	}
	group.Go(func() error { return r.decode(source) })
	for range opts.Workers {
		group.Go(r.detect)
	}
	group.Go(r.sequence)
	group.Go(func() error { return r.encode(sink) })
	err := group.Wait()
	for frame := range r.held {
		frame.Release()
	}
	return err
}

// item is a frame on its way.
type item struct {
	frame  *media.Frame
	cut    bool
	people []vision.Person
	faces  []vision.Face
	// analyzed is closed once people, faces, err and the record's times of detection and pose are set; nil for frames
	// that are not analyzed.
	analyzed chan struct{}
	err      error
	record   record.Frame
	result   track.Result
}

type run struct {
	opts    Options
	ctx     context.Context
	due     chan *item // to be analyzed
	decoded chan *item
	masked  chan *item
	begin   time.Duration // the first frame's time; of the sequence stage

	mu   sync.Mutex
	held map[*media.Frame]struct{} // taken from the source, not yet released
}

func (r *run) hold(frame *media.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[frame] = struct{}{}
}

func (r *run) release(frame *media.Frame) {
	r.mu.Lock()
	delete(r.held, frame)
	r.mu.Unlock()
	frame.Release()
}

// decode reads the frames and decides which ones are analyzed. It stays one frame behind the source, since the frame
// before a cut and the last frame are analyzed too.
func (r *run) decode(source Source) error {
	defer close(r.decoded)
	defer close(r.due)
	cuts := track.NewCutDetector()
	schedule := schedule{every: r.opts.DetectEvery}
	var held *item
	for {
		start := time.Now()
		frame, err := source.Next()
		if errors.Is(err, io.EOF) {
			if held == nil {
				return fmt.Errorf("%w: it has no frame", media.ErrNotVideo)
			}
			return r.dispatch(held, true)
		}
		if err != nil {
			return err
		}
		r.hold(frame)
		next := &item{frame: frame, cut: cuts.Cut(frame), record: record.Frame{
			Index: frame.Index, PTS: frame.Time, Start: start, Decode: vision.Interval{Start: start, End: time.Now()},
		}}
		if held != nil {
			if err := r.dispatch(held, schedule.due(held, next.cut)); err != nil {
				return err
			}
		}
		held = next
	}
}

// schedule decides which frames are analyzed.
type schedule struct {
	every   int
	started bool
	last    time.Duration // presentation time of the last analyzed frame
}

func (s *schedule) due(it *item, beforeCut bool) bool {
	if s.started && !it.cut && !beforeCut && it.frame.Index%s.every != 0 && it.frame.Time-s.last < maxGap {
		return false
	}
	s.started, s.last = true, it.frame.Time
	return true
}

// dispatch passes a frame on to the sequence stage, and to the detect workers if it is due.
func (r *run) dispatch(it *item, due bool) error {
	if due {
		it.analyzed = make(chan struct{})
		it.record.Analyzed = true
		if err := send(r.ctx, r.due, it); err != nil {
			return err
		}
	}
	return send(r.ctx, r.decoded, it)
}

// encode passes the masked frames to the sink and releases them.
func (r *run) encode(sink Sink) error {
	for it := range r.masked {
		if err := sink.Write(it.frame, &it.record); err != nil {
			return err
		}
		r.release(it.frame)
	}
	return nil
}

func send(ctx context.Context, to chan<- *item, it *item) error {
	select {
	case to <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
