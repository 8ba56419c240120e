// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
)

// keeper returns the keeper that removes files past their retention period, or nil if there is nothing to remove.
func (r *videoReceiver) keeper() (*privacy.Keeper, error) {
	if !r.cfg.Retention.Any() {
		return nil, nil
	}
	places, err := privacy.PlacesOf(r.cfg, r.set.ID.String(), r.cfg.Retention.TelemetryFiles...)
	if err != nil {
		return nil, err
	}
	return &privacy.Keeper{
		Retention: r.cfg.Retention, Places: places, Journal: r.watcher, Logger: r.set.Logger,
		Record: func(e audit.Entry) error { return r.recordKept(places, e) },
	}, nil
}

// recordKept records a removal in the audit log if there is one. Without a console there is none, unless an earlier
// configuration had one.
func (r *videoReceiver) recordKept(places privacy.Places, e audit.Entry) error {
	if w := r.shown.Load(); w != nil {
		return w.Record(e)
	}
	directory := filepath.Join(places.State, audit.DirectoryName)
	if _, err := os.Lstat(filepath.Join(directory, audit.FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	log, err := audit.Open(directory)
	if err != nil {
		return err
	}
	_, err = log.Append(e)
	return errors.Join(err, log.Close())
}
