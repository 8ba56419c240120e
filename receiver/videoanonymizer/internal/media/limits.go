// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bound the resources that a file may demand of the machine. Files that exceed them are refused with ErrLimit. A
// zero field means the default.
type Limits struct {
	// MaxWidth and MaxHeight are in pixels.
	MaxWidth  int `mapstructure:"width"`
	MaxHeight int `mapstructure:"height"`
	// MaxPixels is the largest area of a frame.
	MaxPixels int64 `mapstructure:"pixels"`
	// MaxDuration is the longest duration of a video.
	MaxDuration time.Duration `mapstructure:"duration"`
	// MaxFrameRate is in frames per second.
	MaxFrameRate float64 `mapstructure:"frame_rate"`
	// MaxFrames is the largest number of frames in a video, both as its headers state and as decoded.
	MaxFrames int64 `mapstructure:"frames"`
	// MaxStreams is the largest number of streams in a file, of all kinds.
	MaxStreams int `mapstructure:"streams"`
	// ProbeTimeout is how long reading a file's headers may take.
	ProbeTimeout time.Duration `mapstructure:"probe_timeout"`
	// MaxCPUTime is the CPU time of one child process, in whole seconds.
	MaxCPUTime time.Duration `mapstructure:"cpu_time"`
	// MaxMemory is the address space of one child process that uses no GPU, in MiB.
	MaxMemory int64 `mapstructure:"memory"`
	// MaxOutput is the largest output, in MiB.
	MaxOutput int64 `mapstructure:"output_size"`

	_ struct{}
}

// DefaultLimits returns limits that no ordinary video reaches: 8K for two days without a break.
func DefaultLimits() Limits {
	return Limits{
		MaxWidth: 16384, MaxHeight: 16384, MaxPixels: 8192 * 8192,
		MaxDuration: 48 * time.Hour, MaxFrameRate: 1000, MaxFrames: 20_000_000,
		MaxStreams: 64, ProbeTimeout: time.Minute, MaxCPUTime: 14 * 24 * time.Hour, MaxMemory: 32 << 10,
		MaxOutput: 1 << 20,
	}
}

// withDefaults replaces zero fields with those of DefaultLimits.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.MaxWidth, l.MaxHeight = cmp.Or(l.MaxWidth, d.MaxWidth), cmp.Or(l.MaxHeight, d.MaxHeight)
	l.MaxPixels = cmp.Or(l.MaxPixels, d.MaxPixels)
	l.MaxDuration = cmp.Or(l.MaxDuration, d.MaxDuration)
	l.MaxFrameRate = cmp.Or(l.MaxFrameRate, d.MaxFrameRate)
	l.MaxFrames = cmp.Or(l.MaxFrames, d.MaxFrames)
	l.MaxStreams = cmp.Or(l.MaxStreams, d.MaxStreams)
	l.ProbeTimeout = cmp.Or(l.ProbeTimeout, d.ProbeTimeout)
	l.MaxCPUTime = cmp.Or(l.MaxCPUTime, d.MaxCPUTime)
	l.MaxMemory = cmp.Or(l.MaxMemory, d.MaxMemory)
	l.MaxOutput = cmp.Or(l.MaxOutput, d.MaxOutput)
	return l
}

// Pixels is the largest area of a frame.
func (l Limits) Pixels() int64 { return l.withDefaults().MaxPixels }

// CheckSize fails with ErrLimit if a frame of that size exceeds the limits.
func (l Limits) CheckSize(width, height int) error {
	l = l.withDefaults()
	if width <= l.MaxWidth && height <= l.MaxHeight && int64(width)*int64(height) <= l.MaxPixels {
		return nil
	}
	return fmt.Errorf("%w: frames of %d x %d pixels, but at most %d x %d and %d in total are allowed "+
		"(limits::width, height and pixels)", ErrLimit, width, height, l.MaxWidth, l.MaxHeight, l.MaxPixels)
}

// reading bounds a child that only reads.
func (l Limits) reading() bounds { return bounds{cpu: l.MaxCPUTime, memory: l.MaxMemory << 20} }

// writing bounds a child that writes a file.
func (l Limits) writing() bounds {
	return bounds{cpu: l.MaxCPUTime, memory: l.MaxMemory << 20, file: l.MaxOutput << 20}
}

// onDevice returns the bounds, with device set to whether the child uses a GPU.
func (b bounds) onDevice(uses bool) bounds {
	b.device = uses
	return b
}

// check fails with ErrLimit if a video exceeds the limits.
func (l Limits) check(i Info) error {
	if err := l.CheckSize(i.Width, i.Height); err != nil {
		return fmt.Errorf("%q: %w", i.Path, err)
	}
	switch {
	case i.Duration > l.MaxDuration:
		return fileError(i.Path, ErrLimit, "%s long, but at most %s is allowed", i.Duration, l.MaxDuration)
	case i.FrameRate.Float() > l.MaxFrameRate:
		return fileError(i.Path, ErrLimit, "%.0f frames per second, but at most %g are allowed",
			i.FrameRate.Float(), l.MaxFrameRate)
	case i.EstimatedFrames > l.MaxFrames:
		return fileError(i.Path, ErrLimit, "%d frames, but at most %d are allowed", i.EstimatedFrames, l.MaxFrames)
	}
	return nil
}
