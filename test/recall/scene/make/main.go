// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command make composes the clips of all scenes in build/cache/footage/recall. build/footage.sh runs it.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/recall/scene"
)

func main() {
	if err := run(filepath.Join(collector.Root(), "build", "cache", "footage")); err != nil {
		fmt.Fprintln(os.Stderr, "footage:", err)
		os.Exit(1)
	}
}

func run(footage string) error {
	scenes, err := scene.Read()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(footage, "recall"), 0o755); err != nil {
		return err
	}
	for _, s := range scenes {
		if err := compose(footage, s); err != nil {
			return fmt.Errorf("%s: %w", s.Clip, err)
		}
	}
	return nil
}

// compose makes a clip unless it exists and was made with the same arguments, which are stored next to it. An
// interrupted run leaves no clip.
func compose(footage string, s scene.Scene) error {
	clip := filepath.Join(footage, s.Clip)
	args := s.Arguments(footage)
	made := []byte(strings.Join(s.Arguments(""), "\n"))
	if before, err := os.ReadFile(clip + ".args"); err == nil && bytes.Equal(before, made) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "footage: encoding %s\n", s.Clip)
	part := filepath.Join(filepath.Dir(clip), "part-"+filepath.Base(clip))
	if output, err := exec.Command("ffmpeg", append(args, part)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, output)
	}
	if err := os.Rename(part, clip); err != nil {
		return err
	}
	return os.WriteFile(clip+".args", made, 0o600)
}
