// Files, read and copied as a Go programmer would: os and io, a goroutine for each task.
//
//	main random_read FILE READS TASKS   print nanoseconds
//	main small_files TREE FILES TASKS
//	main copy_big FROM TO
//	main copy_tree FROM TO TASKS
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const blockBytes = 4096

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func randomRead(path string, reads, tasks int) time.Duration {
	file, err := os.Open(path)
	check(err)
	info, err := file.Stat()
	check(err)
	blocks := uint64(info.Size() / blockBytes)
	var all sync.WaitGroup
	start := time.Now()
	for task := 0; task < tasks; task++ {
		all.Add(1)
		go func(task int) {
			defer all.Done()
			state := 0x9e3779b97f4a7c15 ^ uint64(task+1)
			buffer := make([]byte, blockBytes)
			for n := (reads + task) / tasks; n > 0; n-- {
				state ^= state << 13
				state ^= state >> 7
				state ^= state << 17
				block := (state >> 20) % blocks
				_, err := file.ReadAt(buffer, int64(block*blockBytes))
				check(err)
				if binary.LittleEndian.Uint64(buffer) != block {
					panic("another block")
				}
			}
		}(task)
	}
	all.Wait()
	return time.Since(start)
}

func smallFiles(tree string, files, tasks int) time.Duration {
	const treeFiles, inFolder = 10000, 100
	var all sync.WaitGroup
	start := time.Now()
	for task := 0; task < tasks; task++ {
		all.Add(1)
		go func(task int) {
			defer all.Done()
			buffer := make([]byte, 8192)
			for n := task; n < files; n += tasks {
				number := n % treeFiles
				name := fmt.Sprintf("d%02d/f%02d", number/inFolder, number%inFolder)
				file, err := os.Open(filepath.Join(tree, name))
				check(err)
				info, err := file.Stat()
				check(err)
				_, err = io.ReadFull(file, buffer[:info.Size()])
				check(err)
				if binary.LittleEndian.Uint64(buffer) != uint64(number) {
					panic("another file")
				}
				check(file.Close())
			}
		}(task)
	}
	all.Wait()
	return time.Since(start)
}

// copyFile copies by io.Copy, which between two files is copy_file_range.
func copyFile(from, to string) {
	source, err := os.Open(from)
	check(err)
	defer source.Close()
	info, err := source.Stat()
	check(err)
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	check(err)
	_, err = io.Copy(target, source)
	check(err)
	check(target.Close())
}

func copyBig(from, to string) time.Duration {
	start := time.Now()
	copyFile(from, to)
	return time.Since(start)
}

func copyTree(from, to string, tasks int) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	pairs := make(chan [2]string, tasks)
	for task := 0; task < tasks; task++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for pair := range pairs {
				copyFile(pair[0], pair[1])
			}
		}()
	}
	check(filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		check(err)
		name, err := filepath.Rel(from, path)
		check(err)
		if entry.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o777)
		}
		pairs <- [2]string{path, filepath.Join(to, name)}
		return nil
	}))
	close(pairs)
	all.Wait()
	return time.Since(start)
}
