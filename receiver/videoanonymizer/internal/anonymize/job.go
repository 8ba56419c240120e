// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// job is what an attempt at a file needs of who handed that out: a watch.Job, or what several machines share.
type job interface {
	// Unchanged fails with watch.ErrChanged or watch.ErrVanished if the source is not what it was.
	Unchanged() error
	// Resumable reports whether an earlier attempt left its temporary files; not after Restart, which removes them.
	Resumable() bool
	Restart() error
	// RecordProgress takes note of how many frames are safe on the disk.
	RecordProgress(frames int64) error
	// TempFor returns a hidden path for a file beside the output's temporary one. The suffix includes the extension.
	TempFor(suffix string) string
	// KeepSource leaves the source where it is, whatever the configuration says.
	KeepSource()
	// Publish gives the output and its companions their final names.
	Publish(companions ...watch.Companion) error
}

// file is what a job is about.
type file struct {
	// Path is the source's, Output the final path of what is made of it, and Temp where it is until then.
	Path, Output, Temp string
	// Shared is the source's path below the folder that several machines share; empty if none do.
	Shared string
	// Size in bytes and ModTime are the source's.
	Size    int64
	ModTime time.Time
	// Attempt counts the attempts at it, from 1.
	Attempt int
}

func fileOf(job *watch.Job) file {
	return file{
		Path: job.Path, Output: job.Output, Temp: job.Temp, Size: job.Size, ModTime: job.ModTime, Attempt: job.Attempt,
	}
}
