// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package pipeline takes one video through its stages: decode, detect (people and poses, on every n-th frame), track
// with a bounded look-ahead, mask, encode. The stages run in parallel and frames leave in order. The look-ahead bounds
// the memory, however long the video is. Every frame that reaches the sink was analyzed, lies between frames that were,
// or is masked entirely.
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

// Source returns the frames of a video in presentation order, and io.EOF after the last one.
type Source interface {
	Next() (*media.Frame, error)
}

// Sink takes the frames in the same order.
type Sink interface {
	// Write encodes a frame, calls Encoded on its record, and passes the record on. It may block, and may draw on the
	// frame once that is encoded. Both frame and record are reused after it returns. An error ends the video.
	Write(*media.Frame, *record.Frame) error
}

// Look configures how thoroughly a frame is searched.
type Look struct {
	// Detector may be nil if Faces is not.
	Detector vision.Detector
	// Blurred replaces Detector in blurred frames; nil for none.
	Blurred vision.Detector
	// Faces may be nil: faces of undetected people are then not masked.
	Faces vision.FaceDetector
}

// Options control how a video is analyzed and masked.
type Options struct {
	// Quick is the look at every analyzed frame.
	Quick Look
	// Full is an additional look at surveyed frames, and at frames of which many parts have to be searched. The zero value
	// never looks.
	Full Look
	// Region is the look at parts of frames where Quick may miss people: where something appeared, and around someone whom
	// a neighboring frame shows. It is used only with Full.
	Region Look
	// Turned is the look at frames turned by 90, 180 and 270 degrees, in each survey and next to frames where it found
	// someone. The zero value never looks.
	Turned Look
	// SurveyInterval is the presentation time from one survey to the next. The first frame, the last frame, and both sides
	// of a scene cut are surveyed, too, and so are frames in which a moving camera shows something else. 0 surveys every
	// analyzed frame. Without Full and Turned, there are no surveys.
	SurveyInterval time.Duration
	// Others finds what else to mask besides people, in every analyzed frame. Nil finds nothing.
	Others vision.Detector
	// Overlap 0..1 is the maximum intersection over union of two people. If their boxes overlap more, only the better one
	// is kept.
	Overlap float32
	// PoseModel may be nil: heads are then derived from the boxes only.
	PoseModel vision.PoseEstimator
	// Segmenter may be nil: then only heads are masked, rather than everything of a person except trunk and limbs.
	Segmenter vision.Segmenter
	// DetectEvery is the distance between analyzed frames; 1 analyzes every frame. The first and the last frame are always
	// analyzed, and so are the frames on both sides of a scene cut, and frames maxGap or more after the last analyzed one,
	// so that nobody moves far unseen at a low frame rate. 0 adapts to the content: it analyzes at least every
	// adaptiveEvery-th frame, and more in between if heads have moved or something has appeared.
	DetectEvery int
	// Workers is the number of frames analyzed at once.
	Workers int
	// Pool, if not nil, is shared by all videos and has as many places as there are workers.
	Pool Pool
	// FrameMemory bounds the bytes of decoded frames held at once, not counting QueueMemory. Blocks and the look-ahead
	// shrink to fit.
	FrameMemory int64
	// QueueMemory bounds the bytes of the frames that are being analyzed, unless two blocks are larger. With DetectEvery
	// 0, workers wait for one another if it is less than 12 frames per worker, plus 12.
	QueueMemory int64
	Track       track.Options
	Painter     *mask.Painter
	// Spans creates the identities of the spans of a frame's inferences, below detection and below pose estimation. It is
	// called before the frame's first inference, and may be called concurrently. Nil creates none.
	Spans func() (detection, pose *inference.Span)
	// Resume continues in the middle of a video; nil starts at its first frame.
	Resume *Resume
	// Until is the index of the first frame that is not written; 0 writes all. The frames before it are analyzed and
	// masked as if the video went on: Run reads as many frames as that takes, and then returns even if the source has
	// more.
	Until int
}

// Resume tells where to continue a video that an earlier run began.
type Resume struct {
	// First is the index of the first frame to write. The source also returns frames before it, so that people are tracked
	// across the boundary.
	First int
	// Begin is the time of the first frame of the video.
	Begin time.Duration
	// Before is called with the record of the frame before First, as it would be masked now. An error ends the video.
	Before func(*record.Frame) error
}

// Pool bounds the number of frames that are analyzed at once. Each takes a place in it while it is analyzed.
type Pool chan struct{}

// NewPool returns a pool with a place for each worker, at least one.
func NewPool(workers int) Pool { return make(Pool, max(1, workers)) }

// pool returns the pool to use.
func (o *Options) pool() Pool {
	if o.Pool != nil {
		return o.Pool
	}
	return NewPool(o.Workers)
}

// Run takes all frames from source to sink. It returns once the last frame is written, or with the first error of
// source or sink, with the context's error, or with an inference.ErrUnavailable. All its goroutines have ended by then.
//
// Run does not interrupt the source's Next and the sink's Write: they have to return when the context ends. When Run
// returns, it has released every frame that it took.
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

// item is a frame on its way through the stages.
type item struct {
	frame  *media.Frame
	cut    bool
	glance *track.Glance // nil unless the content decides what to analyze
	analysis
	record record.Frame
	result track.Result
}

type run struct {
	opts    Options
	ctx     context.Context
	group   *errgroup.Group
	workers Pool // one place per frame being analyzed
	blocks  chan *block
	room    *semaphore.Weighted // for the frames of blocks; owned by the decode stage until it is set
	masked  chan *item
	begin   time.Duration // time of the first frame; owned by the sequence stage
	passed  int           // index of the last frame that left the look-ahead window
	enough  bool          // decode has read all that Until needs; set before blocks is closed

	mu   sync.Mutex
	held map[*media.Frame]struct{} // taken from the source and not yet released
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

// encode passes the masked frames to the sink, and releases them.
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
