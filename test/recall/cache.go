// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// sources are the files that determine measurements; when they change, everything is measured again.
//
//go:embed annotations.go frames.go ghosts.go haar.go peer.go program.go regions.go result.go score.go
var sources embed.FS

// cached returns what compute returned for the same key in an earlier run, or calls it. It keeps values in
// build/cache/recall, so that the report can be written after several runs. A key has everything that the value depends
// on.
func cached[T any](key []any, compute func() (T, error)) (T, error) {
	name, err := digest(key)
	if err != nil {
		return *new(T), err
	}
	path := filepath.Join(collector.Root(), "build", "cache", "recall", name+".json")
	if data, err := os.ReadFile(path); err == nil {
		var value T
		if err := json.Unmarshal(data, &value); err == nil {
			return value, nil
		}
	}
	value, err := compute()
	if err != nil {
		return value, err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return value, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return value, err
	}
	if err := os.WriteFile(path+".part", data, 0o644); err != nil {
		return value, err
	}
	return value, os.Rename(path+".part", path)
}

// digest returns a hash of a key and the scorer's sources.
func digest(key []any) (string, error) {
	hash := sha256.New()
	files, err := sources.ReadDir(".")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		data, err := sources.ReadFile(file.Name())
		if err != nil {
			return "", err
		}
		hash.Write(data)
	}
	if err := json.NewEncoder(hash).Encode(key); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// digestFiles returns a hash of the contents of files that match a pattern.
func digestFiles(pattern string) (string, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(hash, file)
		_ = file.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
