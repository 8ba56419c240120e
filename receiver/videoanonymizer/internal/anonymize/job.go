// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// job is what an attempt at a file needs from what handed out the file: a watch.Job, or a share of several machines.
type job interface {
	// Unchanged fails with watch.ErrChanged or watch.ErrVanished if the source is no longer the same.
	Unchanged() error
	// Resumable reports whether an earlier attempt left its temporary files. It is false after Restart, which removes
	// them.
	Resumable() bool
	Restart() error
	// RecordProgress records how many frames are safely on disk.
	RecordProgress(frames int64) error
	// TempFor returns a hidden path for a file next to the temporary output. The suffix includes the extension.
	TempFor(suffix string) string
	// KeepSource leaves the source where it is, whatever the configuration says.
	KeepSource()
	// Publish gives the output and its companions their final names.
	Publish(companions ...watch.Companion) error
}

// file is the file that a job processes.
type file struct {
	// Path is the path of the source, Output the final path of the output, and Temp its path until then.
	Path, Output, Temp string
	// Shared is the source's path below the folder that several machines share; empty without a share.
	Shared string
	// Size, in bytes, and ModTime describe the source.
	Size    int64
	ModTime time.Time
	// Attempt counts the attempts at the file, from 1.
	Attempt int
}

func fileOf(job *watch.Job) file {
	return file{
		Path: job.Path, Output: job.Output, Temp: job.Temp, Size: job.Size, ModTime: job.ModTime, Attempt: job.Attempt,
	}
}
