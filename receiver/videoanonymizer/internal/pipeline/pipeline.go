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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
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

// Look is how thoroughly a frame is searched.
type Look struct {
	// Detector may be nil if Faces is not.
	Detector vision.Detector
	// Blurred replaces Detector in frames that are blurred; nil for none.
	Blurred vision.Detector
	// Faces may be nil: faces of undetected people are then not masked.
	Faces vision.FaceDetector
}

// Options say how a video is analyzed and masked.
type Options struct {
	// Quick is the look at every analyzed frame.
	Quick Look
	// Full is the look, in addition to Quick, at surveys, and at frames many of whose parts have to be searched. The zero
	// value never looks.
	Full Look
	// Region is the look at parts of frames where people may be whom Quick misses: where something appeared, and around
	// someone whom a neighboring frame shows. It counts if there is Full.
	Region Look
	// Turned is the look at frames turned by a quarter, a half and three quarters of a turn, with each survey and next
	// to where it found someone. The zero value never looks.
	Turned Look
	// SurveyInterval is the presentation time from one survey to the next; the first frame, both sides of a scene cut
	// and the last frame are surveyed too, and frames in which a moving camera shows something else. 0 surveys every
	// analyzed frame. Without Full and Turned there are no surveys.
	SurveyInterval time.Duration
	// Others finds what is masked besides people, in every analyzed frame. Nil finds nothing.
	Others vision.Detector
	// Overlap 0..1: of two people whose boxes have a larger intersection over union, only the better is kept.
	Overlap float32
	// PoseModel may be nil: heads are then derived from the boxes alone.
	PoseModel vision.PoseEstimator
	// Segmenter may be nil: only heads are then masked, rather than whole people except for trunk and limbs.
	Segmenter vision.Segmenter
	// DetectEvery is the distance between analyzed frames; 1 analyzes every frame. The first and the last frame are
	// always analyzed, and so are the frames on both sides of a scene cut and those that follow the last analyzed
	// frame by maxGap or more, so that nobody moves far unseen at a low frame rate. 0 analyzes frames as their content
	// demands: at least every adaptiveEvery-th, and those between two in which heads are not at the same places, or in
	// which something appeared.
	DetectEvery int
	// Workers is the number of frames analyzed at once.
	Workers int
	// Pool, if not nil, has as many places as there are workers, which all videos share that are analyzed with it.
	Pool Pool
	// FrameMemory bounds the bytes of decoded frames held at once, but for what QueueMemory adds; blocks and the
	// look-ahead shrink to fit.
	FrameMemory int64
	// QueueMemory bounds the bytes of the frames whose analysis is under way, unless two blocks are larger. If that is
	// less than 12 frames for each worker and one more, with DetectEvery 0, workers wait for one another.
	QueueMemory int64
	Track       track.Options
	Painter     *mask.Painter
	// Spans makes the identities of the spans of a frame's inferences, below detection and below pose estimation. It is
	// called before the first of them, and may be called concurrently. Nil makes none.
	Spans func() (detection, pose *inference.Span)
	// Resume continues in the middle of a video; nil starts with its first frame.
	Resume *Resume
	// Until is the index of the first frame that is not written; 0 writes all. The frames before it are analyzed and
	// masked as if the video went on: Run reads as far as that takes, and then returns although the source has more.
	Until int
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

// Pool bounds the frames that are analyzed at once. Each has a place in it meanwhile.
type Pool chan struct{}

// NewPool returns a pool with places for some workers, one at least.
func NewPool(workers int) Pool { return make(Pool, max(1, workers)) }

// pool is the one to use.
func (o *Options) pool() Pool {
	if o.Pool != nil {
		return o.Pool
	}
	return NewPool(o.Workers)
}

// Run takes all frames from source to sink. It returns once the last frame is written, or with the first error of
// source or sink, or with the context's error, or with an inference.ErrUnavailable; all its goroutines have ended by
// then.
//
// Run does not interrupt the source's Next and the sink's Write: they have to return when the context ends. When Run
// returns, every frame that it took is released.
func Run(ctx context.Context, source Source, sink Sink, opts Options) error {
	group, ctx := errgroup.WithContext(ctx)
	r := &run{
		opts: opts, ctx: ctx, group: group,
		workers: opts.pool(),
		blocks:  make(chan *block, max(1, opts.Workers)),
		masked:  make(chan *item, 1),
		held:    map[*media.Frame]struct{}{},
	}
	group.Go(func() error { return r.decode(source) })
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
	glance *track.Glance // nil unless the content decides what is analyzed
	analysis
	record record.Frame
	result track.Result
}

type run struct {
	opts    Options
	ctx     context.Context
	group   *errgroup.Group
	workers Pool // one for each frame that is being analyzed
	blocks  chan *block
	room    *semaphore.Weighted // for the frames of blocks; of the decode stage until it is set
	masked  chan *item
	begin   time.Duration // the first frame's time; of the sequence stage
	passed  int           // index of the last frame that left it
	enough  bool          // decode read all that Until takes; set before blocks is closed

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

func send[T any](ctx context.Context, to chan<- T, value T) error {
	select {
	case to <- value:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
