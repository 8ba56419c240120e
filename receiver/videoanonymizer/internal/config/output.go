// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Output controls where anonymized videos go and how they are encoded.
type Output struct {
	// Directory receives the anonymized videos. It is created if missing.
	Directory string `mapstructure:"directory"`
	// Name is the template of an output's name without its extension; {name} stands for the source's name.
	Name string `mapstructure:"name"`
	// Container is the file format; "same" uses the source's.
	Container string `mapstructure:"container"`
	// Codec is the video codec; "same" uses the source's.
	Codec string `mapstructure:"codec"`
	// PixelFormat is what to do in h264 with more than 8 bits and with chroma other than 4:2:0, which few players decode:
	// auto replaces them, same keeps them.
	PixelFormat string `mapstructure:"pixel_format"`
	// Quality is the encoder's constant rate factor: lower is better and larger. Nil means 23 for h264, and a comparable
	// quality for the others.
	Quality *int `mapstructure:"quality"`
	// WebPQuality is the quality of lossy WebP pictures, and JPEGQuality that of JPEGs made from HEICs. Pictures in other
	// formats keep their own.
	WebPQuality int `mapstructure:"webp_quality"`
	JPEGQuality int `mapstructure:"jpeg_quality"`
	// Preset trades speed for size, with the names of x264.
	Preset string `mapstructure:"preset"`
	// Encoder is software, nvenc or vaapi. One that does not work is an error, never a silent fallback.
	Encoder string `mapstructure:"encoder"`
	// Audio is what to do with audio: drop, copy, mute or alter.
	Audio string `mapstructure:"audio"`
	// Keep lists what else of the source to keep in the output: chapters, subtitles, or names of the file's tags.
	Keep []string `mapstructure:"keep"`
	// SegmentLength is the playing time of the segments that are made durable. A crash costs the work on the current one.
	SegmentLength time.Duration `mapstructure:"segment_length"`
	// OnSuccess is what happens to the source: keep, move or delete.
	OnSuccess watch.OnSuccess `mapstructure:"on_success"`
	// OnSalvage is what happens to a source of which parts are missing from the output: keep, or as_success for what
	// OnSuccess says.
	OnSalvage OnSalvage `mapstructure:"on_salvage"`
	// MoveTo is the folder that sources are moved to if OnSuccess is move.
	MoveTo string `mapstructure:"move_to"`
	// QuarantineDirectory receives sources that failed permanently, each with a file that gives the reason. Empty leaves
	// them in place.
	QuarantineDirectory string `mapstructure:"quarantine_directory"`
	// MinFreeSpace is the space in MiB that stays free on the disk. A video that would use it is not started. NoSpaceCheck
	// disables the check.
	MinFreeSpace int64 `mapstructure:"min_free_space"`
	// FileMode is the mode of outputs and their companion files, in octal.
	FileMode string `mapstructure:"file_mode"`
	// StateDirectory stores what has been processed. Empty means a hidden folder in Directory. Two receivers cannot share
	// one.
	StateDirectory string `mapstructure:"state_directory"`

	_ struct{}
}

// StatePath returns the absolute path of the state directory.
func (c *Output) StatePath() string {
	path := cmp.Or(c.StateDirectory, filepath.Join(c.Directory, watch.StateDirectoryName))
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return filepath.Clean(path)
}

// Mode returns FileMode as a number, or 0 if it is not valid.
func (c *Output) Mode() os.FileMode {
	mode, err := strconv.ParseUint(c.FileMode, 8, 32)
	if err != nil || mode&0o600 != 0o600 || mode&^0o666 != 0 {
		return 0
	}
	return os.FileMode(mode)
}

// NoSpaceCheck is the value of Output.MinFreeSpace that starts videos however little space is free.
const NoSpaceCheck = -1

// OnSalvage is what happens to a source after it was salvaged.
type OnSalvage string

const (
	// OnSalvageKeep keeps the source: it may hold more than the output.
	OnSalvageKeep OnSalvage = "keep"
	// OnSalvageAsSuccess does what OnSuccess says.
	OnSalvageAsSuccess OnSalvage = "as_success"
)

var onSuccess = []watch.OnSuccess{watch.OnSuccessKeep, watch.OnSuccessMove, watch.OnSuccessDelete}

func defaultOutput() Output {
	return Output{
		Name:          "{name}_anonymized",
		Container:     media.SameAsSource,
		Codec:         "h264",
		PixelFormat:   media.PixelFormatAuto,
		WebPQuality:   90,
		JPEGQuality:   95,
		Preset:        "veryfast",
		Encoder:       media.Software,
		Audio:         media.AudioDrop,
		SegmentLength: 20 * time.Second,
		OnSuccess:     watch.OnSuccessKeep,
		OnSalvage:     OnSalvageKeep,
		MinFreeSpace:  512,
		FileMode:      "0600",
	}
}

// FileName returns the path of the output below Directory, for the path of a source below the watched folder.
func (c *Output) FileName(source string) string {
	stem := strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
	name := strings.ReplaceAll(c.Name, "{name}", stem)
	if extension := watch.PictureExtension(source); extension != "" {
		return filepath.Join(filepath.Dir(source), name+extension)
	}
	container := c.Container
	if container == media.SameAsSource {
		container = media.ContainerFor(source)
	}
	return filepath.Join(filepath.Dir(source), name+"."+container)
}

func (c *Output) validate() []error {
	errs := []error{
		validateName(c.Name),
		oneOf("container", c.Container, media.Containers()),
		oneOf("codec", c.Codec, media.Codecs()),
		oneOf("pixel_format", c.PixelFormat, media.PixelFormats()),
		inRange("webp_quality", c.WebPQuality, 1, 100, "higher is better and larger; 75 to 95 is usual"),
		inRange("jpeg_quality", c.JPEGQuality, 1, 100, "higher is better and larger; 75 to 95 is usual"),
		oneOf("preset", c.Preset, media.Presets()),
		oneOf("encoder", c.Encoder, media.Encoders()),
		oneOf("audio", c.Audio, media.AudioModes()),
		inRange("segment_length", c.SegmentLength, time.Second, time.Hour,
			"a duration such as 20s; a crash costs that much of the video"),
		oneOf("on_success", c.OnSuccess, onSuccess),
		oneOf("on_salvage", c.OnSalvage, []OnSalvage{OnSalvageKeep, OnSalvageAsSuccess}),
		inRange("min_free_space", c.MinFreeSpace, NoSpaceCheck, 1<<30,
			"MiB to keep free; 0 reserves only the video's own space, -1 disables the check"),
	}
	if c.Mode() == 0 {
		errs = append(errs, fmt.Errorf("file_mode: %q does not let the owner read and write, or is not a file mode: "+
			"write one such as \"0640\", in quotes", c.FileMode))
	}
	if c.Directory == "" {
		errs = append(errs, errors.New("directory: is required: write the folder for the anonymized videos, "+
			"such as videos/anonymized"))
	}
	return slices.Concat(errs, validateKeep(c.Keep), c.validateEncoding(), []error{c.validateMoveTo()})
}

// validateEncoding checks that codec, container, encoder and quality can be combined.
func (c *Output) validateEncoding() (errs []error) {
	if !slices.Contains(media.Codecs(), c.Codec) {
		return nil
	}
	if can := media.EncoderCodecs(c.Encoder); can != nil {
		codec := media.CodecIn(c.Container, c.Codec)
		switch {
		case !slices.Contains(can, c.Codec):
			errs = append(errs, fmt.Errorf("codec: encoder %s cannot write %s: use one of %s, or encoder software",
				c.Encoder, c.Codec, strings.Join(can, ", ")))
		case !slices.Contains(can, codec):
			errs = append(errs, fmt.Errorf("codec: %s becomes %s in container %s, which encoder %s cannot write: "+
				"use av1, or encoder software", c.Codec, codec, c.Container, c.Encoder))
		}
	}
	if most := media.MaxQuality(c.Codec, c.Encoder); most > 0 && c.Quality != nil {
		errs = append(errs, inRange("quality", *c.Quality, 0, most, "lower is better and larger; 18 to 28 is usual"))
	}
	if can := media.ContainerCodecs(c.Container); can != nil && c.Codec != media.SameAsSource &&
		!slices.Contains(can, c.Codec) {
		errs = append(errs, fmt.Errorf("codec: %s does not go into container %s: use %s, or container mkv",
			c.Codec, c.Container, strings.Join(can, " or ")))
	}
	return errs
}

func (c *Output) validateMoveTo() error {
	switch {
	case c.OnSuccess == watch.OnSuccessMove && c.MoveTo == "":
		return errors.New("move_to: is required with on_success: move: write the folder for processed sources")
	case c.OnSuccess != watch.OnSuccessMove && c.MoveTo != "":
		return fmt.Errorf("move_to: has no effect with on_success: %s: remove it, or write on_success: move", c.OnSuccess)
	}
	return nil
}

var tagName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_. -]*$`)

func validateKeep(keep []string) (errs []error) {
	for _, name := range keep {
		if !tagName.MatchString(name) {
			errs = append(errs, fmt.Errorf("keep: %q is not a valid name: write chapters, subtitles, "+
				"or the names of tags of the file, such as creation_time", name))
		}
	}
	return errs
}

// validateName accepts {name} with text around it that stays within one file name.
func validateName(name string) error {
	const instead = `write a file name with {name} in it and no extension, such as "{name}_anonymized"`
	rest := strings.ReplaceAll(name, "{name}", "")
	switch {
	case rest == name:
		return fmt.Errorf("name: %q lacks {name}, so all videos would get the same name: %s", name, instead)
	case strings.ContainsAny(rest, "{}"):
		return fmt.Errorf("name: %q has a placeholder other than {name}: %s", name, instead)
	case strings.ContainsAny(rest, "/\\\x00\n"):
		return fmt.Errorf("name: %q leaves its folder: %s, and set the folder in directory", name, instead)
	case strings.HasPrefix(name, "."):
		return fmt.Errorf("name: %q hides the file: %s", name, instead)
	}
	return nil
}
