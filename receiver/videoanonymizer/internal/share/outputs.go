// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// outputs are what the records say about files that a scan finds although they are not sources.
type outputs struct {
	stale bool // set by each scan
	names map[string]bool
	// sums are the digests of outputs, and done the videos that are done, both by size.
	sums map[int64]map[string]bool
	done map[int64][]Video
	// copies are the files that turned out to be copies of outputs, by path.
	copies map[string]Version
}

// isOutput reports whether a file has the name or the content of an output.
func (d *duty) isOutput(ctx context.Context, f Found) (bool, error) {
	if f.Version.equal(d.ours.copies[f.Path]) {
		return true, nil
	}
	if d.ours.stale {
		// Everything published before the scan is in the view once the view has a record that was written after the scan.
		if err := d.catchUp(ctx); err != nil {
			return false, err
		}
		d.listOutputs()
	}
	if d.ours.names[f.Path] {
		return true, nil
	}
	sums := d.ours.sums[f.Version.Size]
	if len(sums) == 0 {
		return false, nil
	}
	file, err := durable.Open(d.tree.abs(f.Path), os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer file.Close()
	_, sum, err := digest(ctx, file)
	if err != nil || !sums[sum] {
		return false, err
	}
	d.ours.copies[f.Path] = f.Version
	d.logger.Info("ignoring a copy of an output", zap.String("file", d.tree.abs(f.Path)))
	return true, nil
}

// catchUp waits until the view has everything that was recorded before the call.
func (d *duty) catchUp(ctx context.Context) error {
	rev, err := d.store.put(ctx, keyScanned, encode(d.me))
	if err != nil {
		return err
	}
	for end := time.Now().Add(d.cfg.Lease); time.Now().Before(end); {
		wake := d.view.awaken()
		d.view.mu.Lock()
		last := d.view.last
		d.view.mu.Unlock()
		if last >= rev {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wake:
		case <-time.After(d.cfg.Lease / 4):
		}
	}
	return fmt.Errorf("the records lag behind by more than %v", d.cfg.Lease)
}

func (d *duty) listOutputs() {
	d.view.mu.Lock()
	defer d.view.mu.Unlock()
	o := &d.ours
	o.stale, o.names, o.sums, o.done = false, map[string]bool{}, map[int64]map[string]bool{}, map[int64][]Video{}
	for _, v := range d.view.videos {
		for _, output := range slices.Concat(v.rec.Earlier, v.rec.Published) {
			o.names[output.Name] = true
			if o.sums[output.Size] == nil {
				o.sums[output.Size] = map[string]bool{}
			}
			o.sums[output.Size][output.SHA256] = true
		}
		if v.rec.State == VideoDone {
			o.done[v.rec.Version.Size] = append(o.done[v.rec.Version.Size], v.rec)
		}
	}
}

// movedFrom returns the done video that this file is under a new name. Its old name must be free.
func (d *duty) movedFrom(f Found) (Video, bool) {
	for _, v := range d.ours.done[f.Version.Size] {
		// If a video was deferred, the worker itself has moved or removed its source.
		if !v.Version.sameContent(f.Version) || !v.Version.ModTime.Equal(f.Version.ModTime) || v.Deferred > 0 {
			continue
		}
		if _, err := os.Lstat(d.tree.abs(v.Path)); errors.Is(err, fs.ErrNotExist) && d.tree.sees(d.me) == nil {
			return v, true
		}
	}
	return Video{}, false
}
