// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Work runs one job after another as long as the models can be used, and several at once while the next ones are
// pictures. It calls begun before each job and ended after it, concurrently for pictures. It returns the watcher's
// error or the context's.
func (r *Runner) Work(ctx context.Context, watcher *watch.Watcher, begun, ended func(*watch.Job)) error {
	do := func(job *watch.Job) {
		begun(job)
		r.Run(ctx, job)
		ended(job)
	}
	for {
		if err := r.Models.Await(ctx); err != nil {
			return err
		}
		job, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		if !watch.IsPicture(job.Path) {
			do(job)
			continue
		}
		var all sync.WaitGroup
		r.Burst.work(ctx, &all, job, func() *watch.Job {
			if !r.Models.Available() { // all further jobs would fail at once
				return nil
			}
			return watcher.TryNext(watch.IsPicture)
		}, do)
		all.Wait()
	}
}

// Burst limits the pictures that all workers process at once: by number, so that some keep the models busy while others
// are decoded and encoded, and by their pixels, which take memory. With a nil *Burst, each worker processes one.
type Burst struct {
	lanes  *semaphore.Weighted
	pixels *semaphore.Weighted
	most   int64 // pixels
}

// NewBurst returns the limits for a configuration: one picture more than there are inferences at once, and as many
// pixels as a single picture may have.
func NewBurst(cfg *config.Config) *Burst {
	most := cfg.Limits.Pixels()
	return &Burst{
		lanes:  semaphore.NewWeighted(int64(parallelInferences(cfg))), // in addition to a worker's first one
		pixels: semaphore.NewWeighted(most), most: most,
	}
}

// bytesPerPixel is how many bytes a pixel takes at most while a picture is decoded. A file may be larger than its
// picture.
const bytesPerPixel = 8

// acquire waits until a picture of the given number of pixels may be decoded.
func (b *Burst) acquire(ctx context.Context, pixels int64) (free func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	pixels = min(pixels, b.most)
	if err := b.pixels.Acquire(ctx, pixels); err != nil {
		return nil, err
	}
	return func() { b.pixels.Release(pixels) }, nil
}

// work runs the first job and those that next returns, up to the limit at once, until next returns nil.
func (b *Burst) work(ctx context.Context, all *sync.WaitGroup, job *watch.Job, next func() *watch.Job,
	do func(*watch.Job)) {
	for job != nil {
		b.widen(ctx, all, next, do)
		do(job)
		if ctx.Err() != nil {
			return
		}
		job = next()
	}
}

// widen starts another goroutine if there is a job for it.
func (b *Burst) widen(ctx context.Context, all *sync.WaitGroup, next func() *watch.Job, do func(*watch.Job)) {
	if b == nil || !b.lanes.TryAcquire(1) {
		return
	}
	job := next()
	if job == nil {
		b.lanes.Release(1)
		return
	}
	all.Go(func() {
		defer b.lanes.Release(1)
		b.work(ctx, all, job, next, do)
	})
}
