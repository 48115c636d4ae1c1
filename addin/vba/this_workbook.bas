Option Explicit

' Passes the descriptions of functions and arguments to Excel's function wizard. Excel may refuse them while no
' workbook is visible, for example at start-up; then the next activation of a workbook tries again.
Private WithEvents mExcel As Application
Private mDescribed As Boolean

Private Sub Workbook_Open()
    Dim book As Object
    Set mExcel = Application
    DescribeFunctions
    For Each book In Application.Workbooks
        PointLinksHere book
    Next book
End Sub

Private Sub mExcel_WorkbookActivate(ByVal Wb As Workbook)
    If Not mDescribed Then DescribeFunctions
End Sub

Private Sub mExcel_WorkbookOpen(ByVal Wb As Workbook)
    PointLinksHere Wb
End Sub

' Excel saves the add-in's path with each formula. This points formulas from another computer at this add-in; it asks
' nothing, and a workbook that refuses, for example a protected one, keeps its links.
Private Sub PointLinksHere(ByVal book As Object)
    Dim links As Variant, link As Variant, wasSaved As Boolean
    If Not Me.IsAddin Then Exit Sub
    On Error GoTo refused
    links = book.LinkSources(xlExcelLinks)
    If IsEmpty(links) Then Exit Sub
    wasSaved = book.Saved
    For Each link In links
        If IsOtherCopy(CStr(link)) Then book.ChangeLink CStr(link), Me.FullName, xlExcelLinks
    Next link
    book.Saved = wasSaved
refused:
End Sub

Private Function IsOtherCopy(ByVal link As String) As Boolean
    Dim file As String
    file = Mid$(link, InStrRev(Replace(link, "/", "\"), "\") + 1)
    IsOtherCopy = LCase$(file) = LCase$(Me.Name) And LCase$(link) <> LCase$(Me.FullName)
End Function

Private Sub DescribeFunctions()
    Dim wasSaved As Boolean
    wasSaved = Me.Saved
    On Error GoTo later
'{descriptions}
    mDescribed = True
later:
    Me.Saved = wasSaved
End Sub

Private Sub Describe(ByVal functionName As String, ByVal text As String, ByVal arguments As Variant)
    Application.MacroOptions Macro:="'" & Me.Name & "'!" & functionName, Description:=text, _
        Category:="{category}", ArgumentDescriptions:=arguments
End Sub
