"""Say in the reader's language why a file cannot be opened."""

import errno

# By the number of the error: the system's own words are in its language, not in the reader's.
_REASONS = {
    errno.ENOENT: ("没有这个文件", "there is no such file"),
    errno.ENOTDIR: ("路径里有一段不是文件夹", "a part of the path is not a folder"),
    errno.EISDIR: ("这是一个文件夹", "it is a folder"),
    errno.EACCES: ("没有读取的权限", "you may not read it"),
    errno.EPERM: ("没有读取的权限", "you may not read it"),
    errno.EINVAL: ("文件不能叫这个名字", "no file can have that name"),
    errno.ENAMETOOLONG: ("文件名太长", "the name is too long"),
    errno.ELOOP: ("链接绕成了圈", "its links go in a circle"),
    errno.EMFILE: ("打开的文件太多", "too many files are open"),
    errno.EIO: ("磁盘读取出错", "the disk reported an error"),
}


def reason(error: OSError) -> tuple[str, str]:
    """Return why a file cannot be opened or read, in Chinese and English."""
    number = error.errno
    if number in _REASONS:
        return _REASONS[number]
    return f"系统错误 {number}", error.strerror or f"error {number} of the system"
