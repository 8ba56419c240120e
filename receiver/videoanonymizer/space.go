// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// copies is how often an output is on the disk at once: in parts, and whole, while these are put together. A preview is one more.
const copies = 2

// noSpaceCheck, as output::min_free_space, begins videos whatever is free.
const noSpaceCheck = -1

// promise is the space that a video under way was told it may take.
type promise struct {
	device uint64
	bytes  int64
	temp   string // what it writes has names that begin with this
}

// remaining is what of it is not written yet.
func (p *promise) remaining() int64 {
	left := p.bytes
	entries, _ := os.ReadDir(filepath.Dir(p.temp)) // what cannot be read counts as not written
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filepath.Base(p.temp)) {
			if info, err := entry.Info(); err == nil {
				left -= info.Size()
			}
		}
	}
	return max(0, left)
}

// errPromised says that a video would fit if it were not for those under way.
var errPromised = errors.New("space is promised to videos under way")

// ledger holds what is promised to the videos under way, so that several do not count on the same space.
type ledger struct {
	mu       sync.Mutex
	promises map[*promise]struct{}
	free     func(folder string) (int64, uint64, error) // nil asks the file system
}

// reserve promises a video the bytes that it needs, beside which minFree bytes are to stay free, or fails with media.ErrNoSpace, and
// with errPromised too where waiting helps.
// What is returned gives them back.
func (l *ledger) reserve(temp string, bytes, minFree int64) (release func(), err error) {
	free := l.free
	if free == nil {
		free = media.FreeSpace
	}
	folder := filepath.Dir(temp)
	l.mu.Lock()
	defer l.mu.Unlock()
	left, device, err := free(folder)
	if err != nil {
		return nil, err
	}
	var promised int64
	for p := range l.promises {
		if p.device == device {
			promised += p.remaining()
		}
	}
	p := &promise{device: device, bytes: bytes, temp: strings.TrimSuffix(temp, filepath.Ext(temp))}
	bytes = p.remaining() // an interrupted attempt may have left a part
	if left-promised-minFree < bytes {
		err := fmt.Errorf("%q: %w: the video needs about %s, %s are free, of which %s are promised to videos under way and %s are to stay free (output::min_free_space)",
			folder, media.ErrNoSpace, mebibytes(bytes), mebibytes(left), mebibytes(promised), mebibytes(minFree))
		if left-minFree >= bytes {
			err = fmt.Errorf("%w: %w", errPromised, err)
		}
		return nil, err
	}
	if l.promises == nil {
		l.promises = map[*promise]struct{}{}
	}
	l.promises[p] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.promises, p)
	}, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// reserveSpace makes sure that the output will fit on the disk before anything of it is written.
func (v *video) reserveSpace(plan media.Plan) (release func(), err error) {
	cfg := v.receiver.cfg
	if cfg.Output.MinFreeSpace == noSpaceCheck {
		return func() {}, nil
	}
	times := int64(copies)
	if cfg.Report.Preview != NoPreview {
		times++
	}
	return v.receiver.ledger.reserve(v.job.Temp, times*plan.EstimateSize(), cfg.Output.MinFreeSpace<<20)
}
