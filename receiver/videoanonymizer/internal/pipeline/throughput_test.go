// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// still is a video of small frames in which nothing happens.
type still struct {
	frame          *media.Frame
	frames, next   int
	inFlight, most atomic.Int64
}

func newStill(frames int) *still {
	f := &media.Frame{Width: 64, Height: 36,
		Format: media.PixelFormat{Name: "gray", Depth: 8, Planes: 1}}
	f.Planes[0] = plane(f.Width, f.Height, gray)
	return &still{frame: f, frames: frames}
}

func (s *still) Next() (*media.Frame, error) {
	if s.next == s.frames {
		return nil, io.EOF
	}
	f := &media.Frame{Index: s.next, PTS: int64(s.next), Time: time.Duration(s.next) * time.Second / 30,
		Width: s.frame.Width, Height: s.frame.Height, Format: s.frame.Format, Planes: s.frame.Planes}
	s.next++
	s.most.Store(max(s.most.Load(), s.inFlight.Add(1)))
	return f, nil
}

func (s *still) Write(*media.Frame, *record.Frame) error {
	s.inFlight.Add(-1)
	return nil
}

// slow is a detector that finds nobody, and whose inferences take 20 to 400 ms.
type slow struct {
	looks    atomic.Int64
	inferred atomic.Int64 // total duration of inferences, in ns
}

func (s *slow) Detect(context.Context, *media.Frame) ([]vision.Detection, vision.Steps, error) {
	takes := 20*time.Millisecond + time.Duration(s.looks.Add(1)*7919%381)*time.Millisecond
	time.Sleep(takes)
	s.inferred.Add(int64(takes))
	return nil, vision.Steps{}, nil
}

// TestWorkersAreBusy checks that where inference takes all the time, twice as many workers take half as long, and that
// the frames held stay within what the options allow. Time is simulated: it passes while all goroutines wait for
// inferences.
func TestWorkersAreBusy(t *testing.T) {
	const room = 82 // 1080p frames in the memory that the receiver allows for tracks and blocks
	for _, workers := range []int{2, 8, 64} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, detector := newStill(72*workers), &slow{}
				size := frameBytes(source.frame)
				opts := adaptive(t)
				opts.Quick, opts.Full, opts.Region = Look{Detector: detector}, Look{}, Look{}
				opts.Workers, opts.FrameMemory, opts.QueueMemory = workers, room*size, 12*int64(workers+1)*size
				start := time.Now()
				require.NoError(t, Run(t.Context(), source, source, opts))
				busy := time.Duration(detector.inferred.Load()).Seconds() / time.Since(start).Seconds() / float64(workers)
				assert.GreaterOrEqual(t, busy, 0.9, "share of the time in which a worker infers")
				assert.LessOrEqual(t, source.most.Load()*size, opts.FrameMemory+opts.QueueMemory)
			})
		})
	}
}

// busyness is a detector that counts how many of its inferences run at once.
type busyness struct{ now, most atomic.Int64 }

func (b *busyness) Detect(context.Context, *media.Frame) ([]vision.Detection, vision.Steps, error) {
	b.most.Store(max(b.most.Load(), b.now.Add(1)))
	time.Sleep(100 * time.Millisecond)
	b.now.Add(-1)
	return nil, vision.Steps{}, nil
}

// TestVideosShareWorkers checks that several videos, together with searches, analyze no more frames at once than one
// video does.
func TestVideosShareWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, detector := adaptive(t), &busyness{}
		opts.Quick, opts.Full, opts.Region = Look{Detector: detector}, Look{}, Look{}
		opts.Workers, opts.Pool = 3, NewPool(3)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				source := newStill(120)
				assert.NoError(t, Run(t.Context(), source, source, opts))
			})
			all.Go(func() {
				_, err := Search(t.Context(), newStill(1).frame, opts)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.EqualValues(t, 3, detector.most.Load())
		assert.Empty(t, opts.Pool, "places are given back")
	})
}

// TestSearchWaitsForPlace checks that a search gives up if its context ends while it waits.
func TestSearchWaitsForPlace(t *testing.T) {
	opts := adaptive(t)
	opts.Pool = NewPool(1)
	opts.Pool <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Search(ctx, newStill(1).frame, opts)
	require.ErrorIs(t, err, context.Canceled)
}
