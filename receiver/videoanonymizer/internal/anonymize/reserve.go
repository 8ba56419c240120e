// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// peakCopies is the peak number of copies of an output on disk: the segments, and the whole file while they are
// joined. A preview adds one.
const peakCopies = 2

// errReserved means that a video would fit if there were no videos in progress.
var errReserved = errors.New("space is reserved for videos in progress")

// Space tracks the disk space reserved for videos in progress, so that no two of them count on the same space. The zero
// value is ready to use.
type Space struct {
	mu           sync.Mutex
	reservations map[*reservation]struct{}
	free         func(folder string) (int64, uint64, error) // nil asks the file system
}

// reservation is the space that a video in progress may use.
type reservation struct {
	device  uint64
	bytes   int64
	written func() int64
}

// remaining returns the part that is not used yet.
func (r *reservation) remaining() int64 { return max(0, r.bytes-r.written()) }

// writtenLike returns the total size of the files whose names start with the name of temp, without its extension.
func writtenLike(temp string) (bytes int64) {
	folder, name := filepath.Split(strings.TrimSuffix(temp, filepath.Ext(temp)))
	entries, _ := os.ReadDir(folder) // what cannot be read counts as not written
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), name) {
			if info, err := entry.Info(); err == nil {
				bytes += info.Size()
			}
		}
	}
	return bytes
}

// writtenAt returns the size of the file at temp. That is nearly everything that a picture's job writes, and avoids
// reading a folder of ten thousand files for each picture.
func writtenAt(temp string) int64 {
	info, err := os.Lstat(temp)
	if err != nil {
		return 0
	}
	return info.Size()
}

// reserve reserves bytes for the files at temp, of which written returns how many are used, while minFree bytes stay
// free. It returns a function that releases them. It fails with media.ErrNoSpace, and also with errReserved if waiting
// helps.
func (s *Space) reserve(temp string, written func(temp string) int64, bytes, minFree int64) (
	release func(), err error,
) {
	free := s.free
	if free == nil {
		free = media.FreeSpace
	}
	folder := filepath.Dir(temp)
	s.mu.Lock()
	defer s.mu.Unlock()
	left, device, err := free(folder)
	if err != nil {
		return nil, err
	}
	var reserved int64
	for r := range s.reservations {
		if r.device == device {
			reserved += r.remaining()
		}
	}
	r := &reservation{device: device, bytes: bytes, written: func() int64 { return written(temp) }}
	bytes = r.remaining() // an interrupted attempt may have left a part
	if left-reserved-minFree < bytes {
		err := fmt.Errorf("%q: %w: the video needs about %s; %s are free, of which %s are reserved for videos in progress "+
			"and %s must stay free (output::min_free_space)", folder, media.ErrNoSpace,
			mebibytes(bytes), mebibytes(left), mebibytes(reserved), mebibytes(minFree))
		if left-minFree >= bytes {
			err = fmt.Errorf("%w: %w", errReserved, err)
		}
		return nil, err
	}
	if s.reservations == nil {
		s.reservations = map[*reservation]struct{}{}
	}
	s.reservations[r] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.reservations, r)
	}, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// reserveSpace makes sure that the output will fit on the disk before any of it is written.
func (v *video) reserveSpace(plan media.Plan) (release func(), err error) {
	return v.reservePart(plan, 1)
}

// reservePart is reserveSpace for a part, 0..1, of the output.
func (v *video) reservePart(plan media.Plan, part float64) (release func(), err error) {
	if v.Config.Output.MinFreeSpace == config.NoSpaceCheck {
		return func() {}, nil
	}
	copies := int64(peakCopies)
	if v.Config.Report.Preview != config.NoPreview {
		copies++
	}
	bytes := int64(part * float64(copies*plan.EstimateSize()))
	return v.Space.reserve(v.file.Temp, writtenLike, bytes, v.Config.Output.MinFreeSpace<<20)
}
